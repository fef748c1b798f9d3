import { canonicalDecimal, compareDecimals } from './decimal.ts'

/** A number that a JavaScript number does not carry as it was written: its text, which `JSON.stringify` writes as it is. */
export interface RawNumber {
  readonly rawJSON: string
}

// In Node 24 (V8), not yet in TypeScript's library: https://github.com/tc39/proposal-json-parse-with-source
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON: (source: string) => RawNumber
  isRawJSON: (value: unknown) => value is RawNumber
}

/** Tells whether the value is a number that is kept as it came. Nothing else is ever made raw here. */
export const isRawNumber = isRawJSON

/** `source`, a JSON number, as a JavaScript number if that has the same value, else kept as it came. */
export function exactNumber(source: string): number | RawNumber {
  const number = Number(source)
  const text = String(number)
  if (text === source) return number
  return Number.isFinite(number) && compareDecimals(text, source) === 0 ? number : rawJSON(source)
}

/** `source`, a JSON number, as a JavaScript number if `JSON.stringify` writes that the same, else kept as it came. */
export function spelledNumber(source: string): number | RawNumber {
  const number = Number(source)
  return JSON.stringify(number) === source ? number : rawJSON(source)
}

/**
 * Returns one form for all spellings of a number: `1.10` and `1.1`, `5.0` and `5` are the same in hashes and keys.
 * Any other value comes back as it is.
 */
export function canonicalNumber(value: unknown): unknown {
  if (!isRawNumber(value)) return value
  const number = exactNumber(value.rawJSON)
  return typeof number === 'number' ? number : rawJSON(canonicalDecimal(value.rawJSON))
}

/** Returns the value with every number that a JavaScript number can hold, however it was written, as such a number. */
export function withPlainNumbers(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (isRawNumber(value)) return exactNumber(value.rawJSON)
  if (Array.isArray(value)) return value.map(withPlainNumbers)
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withPlainNumbers(member)]))
}

/** A number or a raw number as the nearest JavaScript number (`1e400` is Infinity); null for anything else. */
export function numberOf(value: unknown): number | null {
  if (typeof value === 'number') return value
  return isRawNumber(value) ? Number(value.rawJSON) : null
}

/** The digits of a number or a raw number, for exact comparison; null for anything else and for NaN and Infinity. */
export function digitsOf(value: unknown): string | null {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : null
  return isRawNumber(value) ? value.rawJSON : null
}
