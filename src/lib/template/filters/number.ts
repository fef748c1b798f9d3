import type { RawNumber } from '#lib/json/raw-number.ts'
import { digitsOf, exactNumber } from '#lib/json/raw-number.ts'
import { type FilterContext, type FilterDefinition, type FilterSpec, TemplateFailure } from './filter.ts'

/** Exactly `units` ÷ 10^`scale`. */
interface Fixed {
  units: bigint
  scale: number
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/
/** Far beyond any amount of money, and still cheap. */
const MAX_DIGITS = 400
/** The digits that a double carries: quotients have no end of their own. */
const QUOTIENT_DIGITS = 15

const MAX_ROUND_DIGITS = 12
/** In characters' worth of work, 5 ns each: 3 µs to calculate with 400 digits. */
const ARITHMETIC_COST = 600

/** Filters that calculate. */
export const NUMBER_FILTERS = {
  round: {
    input: ['number'],
    args: [{ name: 'digits', type: 'count', optional: true }],
    returns: 'number',
    description: `With so many digits after the point (default 0, at most ${MAX_ROUND_DIGITS}); halves go away from zero.`,
    example: ['{{trigger.total | round: 1}}', { total: 12.25 }, 12.3],
    apply: (value: unknown, [digits = 0]: [number?], { spend }: FilterContext) => {
      spend(ARITHMETIC_COST)
      return roundNumber(value, Math.min(digits, MAX_ROUND_DIGITS))
    },
  },
  plus: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Adds a number, exactly. Text such as "129.95" counts as a number.',
    example: ['{{trigger.total | plus: trigger.shipping}}', { total: 0.1, shipping: 0.2 }, 0.3],
    apply: arithmetic(addNumbers),
  },
  minus: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Takes a number away, exactly.',
    example: ['{{trigger.stock | minus: 1}}', { stock: 5 }, 4],
    apply: arithmetic(subtractNumbers),
  },
  times: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Multiplies by a number, exactly.',
    example: ['{{trigger.price | times: 3}}', { price: '19.99' }, 59.97],
    apply: arithmetic(multiplyNumbers),
  },
  divided_by: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Divides by a number, to 15 digits. By zero is an error of the step.',
    example: ['{{trigger.cents | divided_by: 100}}', { cents: 12995 }, 129.95],
    apply: arithmetic(divideNumbers),
  },
} as const satisfies Record<string, FilterSpec>

function arithmetic(calculate: (a: unknown, b: unknown) => unknown): FilterDefinition['apply'] {
  return (value: unknown, [other]: readonly unknown[], { spend }: FilterContext): unknown => {
    spend(ARITHMETIC_COST)
    return calculate(value, other)
  }
}

/** Sums, differences and products are exact: 0.1 plus 0.2 is 0.3. */
export function addNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right, scale] = aligned(a, b)
  return toNumber({ units: left + right, scale })
}

function subtractNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right, scale] = aligned(a, b)
  return toNumber({ units: left - right, scale })
}

function multiplyNumbers(a: unknown, b: unknown): number | RawNumber {
  const [left, right] = [parseFixed(a), parseFixed(b)]
  return toNumber({ units: left.units * right.units, scale: left.scale + right.scale })
}

/** To 15 significant digits. */
function divideNumbers(a: unknown, b: unknown): number | RawNumber {
  const divisor = Number(decimalText(b))
  if (divisor === 0) throw new TemplateFailure('divides by zero')
  const quotient = Number(decimalText(a)) / divisor
  if (!Number.isFinite(quotient)) throw new TemplateFailure('calculates with numbers that are too large')
  return Number(quotient.toPrecision(QUOTIENT_DIGITS))
}

/** Halves go away from zero: 2.5 becomes 3, -2.5 becomes -3. */
function roundNumber(value: unknown, digits: number): number | RawNumber {
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
