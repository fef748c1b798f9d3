import { describeFilters } from '../../../src/lib/template/index.ts'
import type { ScopeEntry } from './scope-entry.ts'

const EXPRESSION = /\{\{[^{}]*\}\}/g

let known: readonly ScopeEntry[] | null = null

/** The filters of templates as they are written, each with what its example gives. */
export function filterEntries(): readonly ScopeEntry[] {
  return (known ??= describeFilters().map(({ name, returns, example: { template, result } }) => ({
    path: new RegExp(`\\|\\s*(${name}(?:\\s*:[^|}]*)?)`).exec(template)?.[1]?.trim() ?? name,
    type: returns,
    sample: `${template} → ${typeof result === 'string' ? result : JSON.stringify(result)}`,
    group: 'filters',
  })))
}

/** Tells whether a filter may be written next: behind a bar in an expression that is not closed. */
export function asksForFilter(before: string): boolean {
  const [, inside] = /\{\{([^{}]*)\|$/.exec(before) ?? []
  return inside !== undefined && inside.trim() !== '' && inside.split('"').length % 2 === 1
}

/**
 * Puts a filter at the end of the expression in which the caret is, else of the last one before it, else of the first.
 * Null: the text has no expression.
 */
export function withFilter(
  text: string,
  caret: number,
  filter: string,
): { text: string; caret: number } | null {
  const open = /\{\{([^{}]*)$/.exec(text.slice(0, caret))
  if (open !== null && !/^[^{}]*\}\}/.test(text.slice(caret))) {
    return put(text.slice(0, caret), filter, text.slice(caret))
  }
  const all = [...text.matchAll(EXPRESSION)]
  const found = all.findLast(({ index }) => index < caret) ?? all[0]
  if (found === undefined) return null
  const end = found.index + found[0].length - 2
  return put(text.slice(0, end), filter, text.slice(end + 2))
}

function put(before: string, filter: string, after: string): { text: string; caret: number } {
  const written = `${before.replace(/\s*\|?\s*$/, '')} | ${filter}}}`
  return { text: written + after, caret: written.length }
}
