import { plainDecimal } from '#lib/json/decimal.ts'
import { digitsOf } from '#lib/json/raw-number.ts'
import { isSameValue } from '#lib/json/value-type.ts'

/**
 * The text by which an id is known, whatever type it was sent as: 42, 42.0 and "42" are one customer. Numbers are
 * written out with all their digits and without a fraction of zeros; text stays as it is. Null for anything but text,
 * a number or a boolean.
 */
export function identityText(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return String(value)
  const digits = digitsOf(value)
  return digits === null ? null : plainDecimal(digits)
}

/** Returns whether both stand for the same thing: scalars as text, lists and objects member by member as they are. */
export function isSameIdentity(a: unknown, b: unknown, spend?: (steps: number) => void): boolean {
  const text = identityText(a)
  if (text === null) return isSameValue(a, b, spend)
  spend?.(1)
  return text === identityText(b)
}
