import type { RawNumber } from '#lib/json/raw-number.ts'
import { digitsOf, exactNumber } from '#lib/json/raw-number.ts'
import { TemplateFailure } from './filter.ts'

/** Exactly `units` ÷ 10^`scale`. */
interface Fixed {
  units: bigint
  scale: number
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/
/** Far beyond any amount of money, and still cheap. */
const MAX_DIGITS = 400
/** What a double carries: quotients have no end of their own. */
const QUOTIENT_DIGITS = 15

/** Sums, differences and products are exact: 0.1 plus 0.2 is 0.3. */
export function addNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right, scale] = aligned(a, b)
  return toNumber({ units: left + right, scale })
}

export function subtractNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right, scale] = aligned(a, b)
  return toNumber({ units: left - right, scale })
}

export function multiplyNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right] = [parseFixed(a), parseFixed(b)]
  return toNumber({ units: left.units * right.units, scale: left.scale + right.scale })
}

/** To 15 significant digits. */
export function divideNumbers(a: unknown, b: unknown): number | RawNumber {
  const divisor = Number(decimalText(b))
  if (divisor === 0) throw new TemplateFailure('divides by zero')
  const quotient = Number(decimalText(a)) / divisor
  if (!Number.isFinite(quotient)) throw new TemplateFailure('calculates with numbers that are too large')
  return Number(quotient.toPrecision(QUOTIENT_DIGITS))
}

/** Halves go away from zero: 2.5 becomes 3, -2.5 becomes -3. */
export function roundNumber(value: unknown, digits: number): number | RawNumber {
  const { units, scale } = parseFixed(value)
  if (scale <= digits) return toNumber({ units, scale })
  const divisor = 10n ** BigInt(scale - digits)
  const half = units < 0n ? -divisor / 2n : divisor / 2n
  return toNumber({ units: (units + half) / divisor, scale: digits })
}

/** A number or decimal text as plain digits, without an exponent. */
export function decimalText(value: unknown): string {
  return fixedText(parseFixed(value))
}

function aligned(a: unknown, b: unknown): [bigint, bigint, number] {
  const [left, right] = [parseFixed(a), parseFixed(b)]
  const scale = Math.max(left.scale, right.scale)
  return [
    left.units * 10n ** BigInt(scale - left.scale),
    right.units * 10n ** BigInt(scale - right.scale),
    scale,
  ]
}

function parseFixed(value: unknown): Fixed {
  const source = typeof value === 'string' ? value : (digitsOf(value) ?? '')
  const [, sign = '', whole = '', fraction = '', power = '0'] = NUMBER.exec(source) ?? []
  const exponent = Number(power)
  if (whole === '' || whole.length + fraction.length + Math.abs(exponent) > MAX_DIGITS) {
    throw new TemplateFailure('calculates with a number that has too many digits')
  }
  const scale = fraction.length - exponent
  const units = BigInt(`${sign}${whole}${fraction}`)
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 }
}

function toNumber(fixed: Fixed): number | RawNumber {
  return exactNumber(fixedText(fixed))
}

function fixedText({ units, scale }: Fixed): string {
  const sign = units < 0n ? '-' : ''
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return fraction === '' ? `${sign}${whole}` : `${sign}${whole}.${fraction}`
}
