import { Buffer } from 'node:buffer'
import { digitsOf, numberOf } from '#lib/json/raw-number.ts'
import { parsePath } from '#lib/json/path.ts'
import { parseDuration, readTime } from '#lib/time.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

/** `time` is text that holds an ISO 8601 date or time, or seconds or milliseconds since 1970; `scalar` is text, a number or a boolean. */
export type FilterType = 'any' | 'text' | 'scalar' | 'number' | 'time' | 'list' | 'object'

/** `decimal` is a number or text such as "129.95"; `position` counts from the end if it is negative; `duration` may be negative: "-24 hours". */
export type ArgumentType =
  | 'any'
  | 'text'
  | 'search'
  | 'decimal'
  | 'count'
  | 'position'
  | 'list'
  | 'path'
  | 'duration'
  | 'format'
  | 'zone'
  | 'currency'
  | 'locale'

export interface FilterArgument {
  readonly name: string
  readonly type: ArgumentType
  readonly optional?: boolean
}

export interface FilterContext {
  /** Longest text, in UTF-16 units, that a filter may make. */
  readonly maxChars: number
  /** Is told about work in proportion to values; throws when a rendering does too much of it. */
  readonly spend: (steps: number) => void
  /** Of times that have none themselves, and in which times are written. */
  readonly zone: string
}

export interface FilterDefinition {
  readonly name: string
  /** The types that it takes; anything else is an error of the step. */
  readonly input: readonly FilterType[]
  readonly args: readonly FilterArgument[]
  /** `same`: the type of the input. */
  readonly returns: FilterType | 'boolean' | 'same'
  readonly description: string
  /** A template, its `trigger`, and the result. */
  readonly example: { readonly template: string; readonly trigger: unknown; readonly result: unknown }
  /** Gets what fits `input` and `args`; arguments left out are undefined. Throws TemplateFailure. */
  readonly apply: (value: never, args: never, context: FilterContext) => unknown
}

/** A row of the table of filters, as it is written. */
export type FilterSpec = Omit<FilterDefinition, 'name' | 'example'> & {
  example: readonly [template: string, trigger: unknown, result: unknown]
}

/** A rendering that cannot go on: the message tells the author of the template why, without any value. */
export class TemplateFailure extends Error {}

/** Of one member of an object, in characters' worth of work. */
export const MEMBER_COST = 10

/** More is no separator and no word to replace. */
const MAX_SEARCH_CHARS = 100
const MAX_COUNT = 1_000_000
const MAX_FORMAT_CHARS = 100
const DECIMAL = /^-?\d{1,100}(?:\.\d{1,100})?$/

const ARGUMENTS: Readonly<Record<ArgumentType, { expected: string; fits: (value: unknown) => boolean }>> = {
  any: { expected: 'a value', fits: (value) => value !== undefined },
  text: { expected: 'text', fits: isScalar },
  search: {
    expected: `text of 1 to ${MAX_SEARCH_CHARS} characters`,
    fits: (value) => typeof value === 'string' && value !== '' && value.length <= MAX_SEARCH_CHARS,
  },
  decimal: { expected: 'a number', fits: isDecimal },
  count: {
    expected: `a whole number from 0 to ${MAX_COUNT}`,
    fits: (value) => isCount(numberOf(value)),
  },
  position: {
    expected: `a whole number from -${MAX_COUNT} to ${MAX_COUNT}`,
    fits: (value) => isCount(Math.abs(numberOf(value) ?? Number.NaN)),
  },
  list: { expected: 'a list', fits: Array.isArray },
  path: {
    expected: 'a path such as "price" or "product.name"',
    fits: (value) => typeof value === 'string' && parsePath(value) !== null,
  },
  duration: {
    expected: 'a duration of at most 366 days such as "3 days" or "-24 hours"',
    fits: (value) => typeof value === 'string' && parseSignedDuration(value) !== null,
  },
  format: {
    expected: `a format of at most ${MAX_FORMAT_CHARS} characters such as "%Y-%m-%d %H:%M"`,
    fits: (value) => typeof value === 'string' && value.length <= MAX_FORMAT_CHARS,
  },
  zone: { expected: 'an IANA time zone such as "Europe/Lisbon"', fits: isTimeZone },
  currency: {
    expected: 'an ISO 4217 currency such as "EUR"',
    fits: (value) => typeof value === 'string' && /^[A-Za-z]{3}$/.test(value),
  },
  locale: { expected: 'a language tag such as "pt-PT"', fits: isLocale },
}

/** Returns what the argument has to be, or null if the value is that. */
export function argumentFault(argument: FilterArgument, value: unknown): string | null {
  const { expected, fits } = ARGUMENTS[argument.type]
  return fits(value) ? null : expected
}

export function isFilterInput(value: unknown, types: readonly FilterType[]): boolean {
  return types.some((type) => {
    switch (type) {
      case 'any':
        return true
      case 'scalar':
        return isScalar(value)
      case 'number':
        return isDecimal(value)
      case 'time':
        return readTime(value) !== null
      default:
        return valueTypeOf(value) === type
    }
  })
}

/** A scalar as text: numbers with the digits they came with. */
export function scalarText(value: unknown): string {
  return typeof value === 'string' ? value : (digitsOf(value) ?? String(value))
}

/** A duration that may be negative, in milliseconds; null for anything else. */
export function parseSignedDuration(text: string): number | null {
  const trimmed = text.trim()
  const sign = trimmed.startsWith('-') ? -1 : 1
  const ms = parseDuration(trimmed.replace(/^[+-] ?/, ''))
  return ms === null ? null : sign * ms
}

/** JSON text of a value, at most `maxBytes` long. */
export function boundedJson(value: unknown, context: FilterContext): string {
  const bytes = measureJson(value, context.maxChars)
  context.spend(bytes)
  if (bytes > context.maxChars) throw new TemplateFailure('makes text that is too large')
  return JSON.stringify(value)
}

/** About how many bytes the value takes as JSON; stops soon after `limit`. */
export function measureJson(value: unknown, limit: number): number {
  let bytes = 0
  const open: unknown[] = [value]
  while (open.length > 0 && bytes <= limit) {
    const current = open.pop()
    if (typeof current === 'string') {
      bytes += 2 + (current.length > limit ? current.length : Buffer.byteLength(current))
    } else if (typeof current !== 'object' || current === null || digitsOf(current) !== null) {
      bytes += scalarText(current).length
    } else if (Array.isArray(current)) {
      bytes += 2 + current.length
      if (bytes <= limit) for (const item of current) open.push(item)
    } else {
      bytes += 2
      for (const name in current) {
        bytes += name.length + 4
        if (bytes > limit) break
        open.push((current as Record<string, unknown>)[name])
      }
    }
  }
  return bytes
}

/** Makes a filter on text that spends its input and output, and makes no longer text than is allowed. */
export function textFilter(
  make: (text: string, args: never, context: FilterContext) => string | string[],
): FilterDefinition['apply'] {
  return (value: unknown, args: unknown, context: FilterContext): string | string[] => {
    const text = scalarText(value)
    context.spend(text.length)
    const result = make(text, args as never, context)
    if (typeof result === 'string') {
      context.spend(result.length)
      if (result.length > context.maxChars) throw new TemplateFailure('makes text that is too large')
    }
    return result
  }
}

function isScalar(value: unknown): boolean {
  return ['text', 'number', 'boolean'].includes(valueTypeOf(value))
}

function isCount(value: number | null): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_COUNT
}

function isDecimal(value: unknown): boolean {
  return typeof value === 'string' ? DECIMAL.test(value) : digitsOf(value) !== null
}

function isLocale(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > 35) return false
  try {
    return Intl.getCanonicalLocales(value).length === 1
  } catch {
    return false
  }
}
