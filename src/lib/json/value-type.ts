import { compareDecimals } from './decimal.ts'
import { digitsOf, isRawNumber } from './raw-number.ts'

export type ValueType = 'missing' | 'null' | 'text' | 'number' | 'boolean' | 'list' | 'object'

/** Deeper values than any request may hold are not equal to anything. */
const MAX_DEPTH = 100

/** What a JSON value is, in the words that people read in problems and logs. */
export function valueTypeOf(value: unknown): ValueType {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number' || isRawNumber(value)) return 'number'
  if (typeof value === 'boolean') return 'boolean'
  return Array.isArray(value) ? 'list' : 'object'
}

/**
 * Whether two JSON values are the same: members in any order, numbers by exact value, no conversions.
 *
 * @param spend is told about every pair that is compared, and may throw to stop
 */
export function isSameValue(a: unknown, b: unknown, spend?: (steps: number) => void, depth = 0): boolean {
  spend?.(1)
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return isRawNumber(a) || isRawNumber(b) ? compareNumbers(a, b) === 0 : false
  }
  if (isRawNumber(a) || isRawNumber(b)) return compareNumbers(a, b) === 0
  if (depth === MAX_DEPTH || Array.isArray(a) !== Array.isArray(b)) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return names.every(
    (name) => Object.hasOwn(right, name) && isSameValue(left[name], right[name], spend, depth + 1),
  )
}

/** Negative, 0 or positive, by exact value; NaN unless both are numbers. */
export function compareNumbers(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  const [left, right] = [digitsOf(a), digitsOf(b)]
  return left === null || right === null ? Number.NaN : compareDecimals(left, right)
}
