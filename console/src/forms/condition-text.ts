import { findOperator, type OperatorName } from '../../../src/lib/condition/operators/index.ts'
import { GROUP_NAMES } from '../../../src/lib/condition/shape.ts'
import { words } from '../i18n/words.svelte.ts'
import { shown } from './preview.ts'
import { isPlainObject } from './schema.ts'

const operators = words({
  en: {
    equals: 'is',
    not_equals: 'is not',
    in: 'is one of',
    not_in: 'is none of',
    exists: 'is there',
    not_exists: 'is missing',
    is_empty: 'is empty',
    is_not_empty: 'is not empty',
    is_true: 'is true',
    is_false: 'is false',
    gt: 'is more than',
    gte: 'is at least',
    lt: 'is less than',
    lte: 'is at most',
    between: 'is between',
    contains: 'contains',
    not_contains: 'does not contain',
    starts_with: 'starts with',
    ends_with: 'ends with',
    matches: 'matches the pattern',
    before: 'is before',
    after: 'is after',
    within_last: 'is within the last',
    within_next: 'is within the next',
    older_than: 'is longer ago than',
    any: 'has an item for which',
    all: 'has only items for which',
    none: 'has no item for which',
    count: 'has so many items:',
    changed: 'has changed',
    changed_to: 'has changed to',
  } satisfies Record<OperatorName, string>,
  de: {
    equals: 'ist',
    not_equals: 'ist nicht',
    in: 'ist eines von',
    not_in: 'ist keines von',
    exists: 'ist da',
    not_exists: 'fehlt',
    is_empty: 'ist leer',
    is_not_empty: 'ist nicht leer',
    is_true: 'ist wahr',
    is_false: 'ist falsch',
    gt: 'ist mehr als',
    gte: 'ist mindestens',
    lt: 'ist weniger als',
    lte: 'ist höchstens',
    between: 'liegt zwischen',
    contains: 'enthält',
    not_contains: 'enthält nicht',
    starts_with: 'beginnt mit',
    ends_with: 'endet mit',
    matches: 'passt zum Muster',
    before: 'ist vor',
    after: 'ist nach',
    within_last: 'liegt in den letzten',
    within_next: 'liegt in den nächsten',
    older_than: 'ist länger her als',
    any: 'hat ein Element, für das gilt:',
    all: 'hat nur Elemente, für die gilt:',
    none: 'hat kein Element, für das gilt:',
    count: 'hat so viele Elemente:',
    changed: 'hat sich geändert',
    changed_to: 'hat sich geändert in',
  },
})

const w = words({
  en: { and: 'and', or: 'or', not: (inner: string) => `not (${inner})`, something: '…' },
  de: { and: 'und', or: 'oder', not: (inner: string) => `nicht (${inner})`, something: '…' },
})

export type GroupName = (typeof GROUP_NAMES)[number]

/** The group that a condition is, with its members; null: it is a single test. */
export function groupOf(condition: unknown): { name: GroupName; members: readonly unknown[] } | null {
  if (!isPlainObject(condition)) return null
  const name = GROUP_NAMES.find((each) => Array.isArray(condition[each]))
  return name === undefined ? null : { name, members: condition[name] as unknown[] }
}

export function operatorLabel(name: string): string {
  return (operators as Record<string, string | undefined>)[name] ?? name
}

/** A condition as people say it: total is at least 100 and email is there. */
export function conditionText(condition: unknown, isInner = false): string {
  const group = groupOf(condition)
  if (group !== null) {
    const parts = group.members.map((each) => conditionText(each, group.members.length > 1))
    if (parts.length === 0) return w.something
    const joined = parts.join(` ${group.name === 'all' ? w.and : w.or} `)
    if (group.name === 'none') return w.not(joined)
    return isInner && parts.length > 1 ? `(${joined})` : joined
  }
  if (!isPlainObject(condition)) return w.something
  const { field, operator, value } = condition
  const name = typeof operator === 'string' ? operator : ''
  const subject = typeof field === 'string' && field !== '' ? field : w.something
  const operand = findOperator(name)?.operand ?? null
  return [subject, operatorLabel(name), operand === null ? '' : operandText(value, operand)].join(' ').trim()
}

function operandText(value: unknown, operand: string): string {
  if (operand === 'condition') return `(${conditionText(value)})`
  if (operand === 'range' && Array.isArray(value)) return value.map(shown).join(` ${w.and} `)
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return value === undefined || value === '' ? w.something : shown(value)
}
