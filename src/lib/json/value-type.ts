import { compareDecimals } from './decimal.ts'
import { digitsOf, isRawNumber } from './raw-number.ts'
import { textSteps } from '#lib/step-budget.ts'

export type ValueType = 'missing' | 'null' | 'text' | 'number' | 'boolean' | 'list' | 'object'

/** Deeper values than any request may hold are not equal to anything. */
const MAX_DEPTH = 100

/** Returns what a JSON value is, in the words that people read in problems and logs. */
export function valueTypeOf(value: unknown): ValueType {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number' || isRawNumber(value)) return 'number'
  if (typeof value === 'boolean') return 'boolean'
  return Array.isArray(value) ? 'list' : 'object'
}

/**
 * Returns whether two JSON values are the same: members in any order, numbers by exact value, no conversions.
 *
 * @param spend is told about every pair that is compared, by members and by the length of text, and may throw to stop
 */
export function isSameValue(a: unknown, b: unknown, spend?: (steps: number) => void, depth = 0): boolean {
  spend?.(1 + costOfPair(a, b))
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return isRawNumber(a) || isRawNumber(b) ? compareNumbers(a, b) === 0 : false
  }
  if (isRawNumber(a) || isRawNumber(b)) return compareNumbers(a, b) === 0
  if (depth === MAX_DEPTH || Array.isArray(a) !== Array.isArray(b)) return false
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => isSameValue(item, b[index], spend, depth + 1))
  }
  const names = Object.keys(a)
  spend?.(names.length)
  const others = Object.keys(b).length
  spend?.(others)
  if (names.length !== others) return false
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>]
  return names.every(
    (name) => Object.hasOwn(right, name) && isSameValue(left[name], right[name], spend, depth + 1),
  )
}

/** Text is read as far as both are equally long, numbers that are kept as they came always. */
function costOfPair(a: unknown, b: unknown): number {
  if (typeof a === 'string') return typeof b === 'string' && a.length === b.length ? textSteps(a.length) : 0
  const digits = (isRawNumber(a) ? a.rawJSON.length : 0) + (isRawNumber(b) ? b.rawJSON.length : 0)
  return digits >> 3
}

/** Negative, 0 or positive, by exact value; NaN unless both are numbers. */
export function compareNumbers(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  const [left, right] = [digitsOf(a), digitsOf(b)]
  return left === null || right === null ? Number.NaN : compareDecimals(left, right)
}
