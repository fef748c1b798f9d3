import type { Members } from './graph.ts'

/** A member of a definition in few words; empty: there is none. */
export function text(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
    ? value.join(', ')
    : JSON.stringify(value)
}

export function joined(parts: readonly string[], separator: string): string {
  return parts.filter(Boolean).join(separator)
}

export function conditionText(condition: unknown): string {
  if (typeof condition !== 'object' || condition === null) return ''
  const { field, operator, value } = condition as Members
  if (field !== undefined) return joined([text(field), text(operator), text(value)], ' ')
  const group = Object.entries(condition).find(([, members]) => Array.isArray(members))
  if (group === undefined) return ''
  const [name, members] = group as [string, unknown[]]
  return `${name}: ${members.map(conditionText).join(', ')}`
}
