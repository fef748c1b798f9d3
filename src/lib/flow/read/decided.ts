import type { Condition } from '#lib/condition/index.ts'
import type { FlowProblemCode, Path } from '../problems.ts'
import type { Reader } from './reader.ts'
import { report } from './reader.ts'
import { holdsTemplate } from '#lib/template-text.ts'

interface Test {
  field: string
  operator: string
  value?: unknown
}

/** Of two tests of one field: both never hold together. */
const CONTRADICTIONS: readonly (readonly [string, string])[] = [
  ['exists', 'not_exists'],
  ['is_empty', 'is_not_empty'],
  ['is_true', 'is_false'],
  ['is_true', 'not_exists'],
  ['is_false', 'not_exists'],
  ['equals', 'not_exists'],
]
/** Of two tests of one field: one of them always holds. */
const COMPLEMENTS: readonly (readonly [string, string])[] = [
  ['exists', 'not_exists'],
  ['is_empty', 'is_not_empty'],
]

/** Reports groups and tests whose result does not depend on any data, as far as that can be told from the text. */
export function reportDecided(reader: Reader, condition: Condition, path: Path): void {
  if ('all' in condition) reportGroup(reader, condition.all, [...path, 'all'], 'always_false')
  else if ('any' in condition) reportGroup(reader, condition.any, [...path, 'any'], 'always_true')
  else if ('none' in condition) reportGroup(reader, condition.none, [...path, 'none'], null)
  else reportCount(reader, condition, path)
}

function reportGroup(
  reader: Reader,
  conditions: readonly Condition[],
  path: Path,
  code: 'always_false' | 'always_true' | null,
): void {
  const byField = new Map<string, { test: Test; index: number }[]>()
  for (const [index, each] of conditions.entries()) {
    reportDecided(reader, each, [...path, index])
    if (code === null || !('field' in each)) continue
    const others = byField.get(each.field) ?? []
    const other = others.find(({ test }) =>
      code === 'always_false' ? areContradictory(test, each) : areComplementary(test, each),
    )
    if (other) {
      const where = `condition ${other.index + 1} of this group`
      report(reader, code, [...path, index], decidedMessage(code, each.field, where))
    }
    others.push({ test: each, index })
    byField.set(each.field, others)
  }
}

function decidedMessage(code: FlowProblemCode, field: string, other: string): string {
  return code === 'always_false'
    ? `Always false: ${field} cannot meet this test and ${other} at once. Use "any", or remove one.`
    : `Always true: ${field} meets either this test or ${other}. Use "all", or remove one.`
}

function areContradictory(a: Test, b: Test): boolean {
  if (isPair(CONTRADICTIONS, a, b)) return true
  if (a.operator === 'equals' && b.operator === 'equals')
    return isLiteral(a) && isLiteral(b) && a.value !== b.value
  if (isOpposite(a, b)) return true
  const [left, right] = [rangeOf(a), rangeOf(b)]
  if (!left || !right) return false
  const low = left.low > right.low || (left.low === right.low && left.isLowOpen) ? left : right
  const high = left.high < right.high || (left.high === right.high && left.isHighOpen) ? left : right
  return low.low > high.high || (low.low === high.high && (low.isLowOpen || high.isHighOpen))
}

function areComplementary(a: Test, b: Test): boolean {
  return isPair(COMPLEMENTS, a, b) || isOpposite(a, b)
}

/** `equals` and `not_equals` of the same value. */
function isOpposite(a: Test, b: Test): boolean {
  const isPairOfThem =
    (a.operator === 'equals' && b.operator === 'not_equals') ||
    (a.operator === 'not_equals' && b.operator === 'equals')
  return isPairOfThem && isLiteral(a) && isLiteral(b) && a.value === b.value
}

function isPair(pairs: readonly (readonly [string, string])[], a: Test, b: Test): boolean {
  return pairs.some(
    ([one, other]) =>
      (a.operator === one && b.operator === other) || (a.operator === other && b.operator === one),
  )
}

function isLiteral({ value }: Test): boolean {
  return (
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    (typeof value === 'string' && !holdsTemplate(value))
  )
}

interface NumberRange {
  low: number
  high: number
  isLowOpen: boolean
  isHighOpen: boolean
}

function rangeOf({ operator, value }: Test): NumberRange | null {
  const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  if (operator === 'between' && Array.isArray(value)) {
    const [from, to] = value as unknown[]
    return typeof from === 'number' && typeof to === 'number'
      ? { low: from, high: to, isLowOpen: false, isHighOpen: false }
      : null
  }
  if (typeof value !== 'number') return null
  switch (operator) {
    case 'gt':
    case 'gte':
      return { low: value, high, isLowOpen: operator === 'gt', isHighOpen: false }
    case 'lt':
    case 'lte':
      return { low, high: value, isLowOpen: false, isHighOpen: operator === 'lt' }
    case 'equals':
      return { low: value, high: value, isLowOpen: false, isHighOpen: false }
    default:
      return null
  }
}

/** A number of items is never negative. */
function reportCount(reader: Reader, { operator, value }: Test, path: Path): void {
  if (operator !== 'count') return
  const isNumber = typeof value === 'number'
  const count = (isNumber ? { operator: 'equals', value } : value) as Partial<Test>
  const test: Test = { field: '', operator: count.operator ?? '', value: count.value }
  const range = rangeOf(test)
  if (!range) return
  if (range.high < 0 || (range.high === 0 && range.isHighOpen)) {
    report(reader, 'always_false', [...path, 'value'], 'Always false: a list has 0 items or more.')
  } else if (
    range.high === Number.POSITIVE_INFINITY &&
    (range.low < 0 || (range.low === 0 && !range.isLowOpen))
  ) {
    report(reader, 'always_true', [...path, 'value'], 'True for every list: it has 0 items or more. Use gt.')
  }
}
