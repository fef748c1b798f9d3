/** A decimal number's value: ±0.`digits` × 10^`exponent`, without zeros at either end; zero has no digits. */
interface Decimal {
  negative: boolean
  digits: string
  exponent: number
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/
const ZERO = 48

/**
 * Compares two numbers by value, exactly: negative, 0 or positive, as for `sort`. Takes JSON numbers and `String`'s
 * texts of finite ones, so `9007199254740993` is above `9007199254740992` and `1E2` equals `100.0`.
 */
export function compareDecimals(a: string, b: string): number {
  const left = parseDecimal(a)
  const right = parseDecimal(b)
  const sign = signOf(left) - signOf(right)
  if (sign !== 0) return sign
  if (left.digits === '') return 0
  const magnitude =
    left.exponent - right.exponent || (left.digits === right.digits ? 0 : left.digits < right.digits ? -1 : 1)
  return left.negative ? -magnitude : magnitude
}

/** Returns whether a JSON number has no fractional part, as `1.0` and `1E2` have none. */
export function isIntegerDecimal(source: string): boolean {
  const { digits, exponent } = parseDecimal(source)
  return digits.length <= exponent || digits === ''
}

/** Exponents up to which a number is written out; requests allow ten thousand. */
const MAX_WRITTEN_EXPONENT = 12_000

/** A number without exponent, leading zeros or a fraction of zeros: `1E2` and `100.0` are both `100`. */
export function plainDecimal(source: string): string {
  const { negative, digits, exponent } = parseDecimal(source)
  if (digits === '') return '0'
  if (Math.abs(exponent) > MAX_WRITTEN_EXPONENT) return `${negative ? '-' : ''}0.${digits}e${exponent}`
  const whole = exponent > 0 ? digits.slice(0, exponent).padEnd(exponent, '0') : '0'
  const fraction = exponent > 0 ? digits.slice(exponent) : '0'.repeat(-exponent) + digits
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

/** The one JSON text that all spellings of a number share: `0.` digits `e` exponent. */
export function canonicalDecimal(source: string): string {
  const { negative, digits, exponent } = parseDecimal(source)
  return digits === '' ? '0' : `${negative ? '-' : ''}0.${digits}e${exponent}`
}

function signOf(decimal: Decimal): number {
  if (decimal.digits === '') return 0
  return decimal.negative ? -1 : 1
}

function parseDecimal(source: string): Decimal {
  const [, sign, whole = '', fraction = '', power = '0'] = NUMBER.exec(source) ?? []
  if (sign === undefined) throw new TypeError(`not a decimal number: ${source.slice(0, 40)}`)
  const all = whole + fraction
  let start = 0
  while (all.charCodeAt(start) === ZERO) start++
  let end = all.length
  while (end > start && all.charCodeAt(end - 1) === ZERO) end--
  return {
    negative: sign === '-',
    digits: all.slice(start, end),
    exponent: Number(power) + whole.length - start,
  }
}
