import { Buffer } from 'node:buffer'
import { toPointer } from '#lib/json/error.ts'
import { isPlainObject, isSchemaType, SCHEMA_FORMATS, SCHEMA_TYPES } from './shape.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'

export interface SchemaProblem {
  /** A pointer into the schema. */
  pointer: string
  detail: string
}

const MAX_SCHEMA_DEPTH = 8
export const MAX_SCHEMA_BYTES = 16 * 1024
const MAX_ENUM_VALUES = 100
const MAX_PROBLEMS = 50

type Path = readonly (string | number)[]
type Report = (path: Path, detail: string) => void

/**
 * The check of each keyword's value; it returns null for a value that fits. `properties` and `items` are visited
 * besides.
 */
const KEYWORDS: Readonly<Record<string, (value: unknown) => string | null>> = {
  type: checkType,
  properties: (value) => (isPlainObject(value) ? null : 'Give an object of schemas by property name.'),
  required: checkRequired,
  additionalProperties: (value) => (typeof value === 'boolean' ? null : 'Say true or false.'),
  items: () => null,
  enum: checkEnum,
  minimum: checkNumber,
  maximum: checkNumber,
  minLength: checkLength,
  maxLength: checkLength,
  minItems: checkLength,
  maxItems: checkLength,
  format: (value) =>
    SCHEMA_FORMATS.some((format) => format === value) ? null : `Use one of ${SCHEMA_FORMATS.join(', ')}.`,
  title: checkText,
  description: checkText,
  examples: (value) => (Array.isArray(value) ? null : 'Give a list of examples.'),
  default: () => null,
}
const BOUNDS = [
  ['minimum', 'maximum'],
  ['minLength', 'maxLength'],
  ['minItems', 'maxItems'],
] as const

/**
 * Everything that keeps a foreign schema out of the safe subset, at most 50 problems; an empty list means that it is
 * a SafeSchema. Size is looked at first, so that the rest is bounded: a megabyte of schema is refused within 25 ms.
 */
export function checkSchema(schema: unknown): SchemaProblem[] {
  const problems: SchemaProblem[] = []
  const report: Report = (path, detail) => {
    if (problems.length < MAX_PROBLEMS) problems.push({ pointer: toPointer(path), detail })
  }
  if (isLargerThan(schema, MAX_SCHEMA_BYTES))
    report([], `Shorten the schema to ${MAX_SCHEMA_BYTES} bytes of JSON.`)
  else visit(schema, [], 1, report)
  return problems
}

function visit(schema: unknown, path: Path, depth: number, report: Report): void {
  if (!isPlainObject(schema)) {
    report(path, `Give a schema such as { "type": "string" }; types are ${SCHEMA_TYPES.join(', ')}.`)
    return
  }
  if (depth > MAX_SCHEMA_DEPTH) {
    report(path, `Nest schemas at most ${MAX_SCHEMA_DEPTH} deep.`)
    return
  }
  for (const [keyword, value] of Object.entries(schema)) {
    const check = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined
    const fault = check
      ? check(value)
      : `"${keyword}" is not supported: use ${Object.keys(KEYWORDS).join(', ')}.`
    if (fault !== null) report([...path, keyword], fault)
  }
  for (const [low, high] of BOUNDS) {
    if (Number(schema[low]) > Number(schema[high]))
      report([...path, low], `Is above "${high}": nothing fits.`)
  }
  if (isPlainObject(schema['properties'])) {
    for (const [name, property] of Object.entries(schema['properties'])) {
      visit(property, [...path, 'properties', name], depth + 1, report)
    }
  }
  if (Object.hasOwn(schema, 'items')) visit(schema['items'], [...path, 'items'], depth + 1, report)
}

/** Bytes as JSON without escapes; stops counting at the limit, so that a hostile value costs no more than that. */
export function isLargerThan(schema: unknown, maxBytes: number): boolean {
  let bytes = 0
  const open = [schema]
  while (open.length > 0 && bytes <= maxBytes) {
    const current = open.pop()
    bytes += sizeOf(current)
    if (bytes > maxBytes) break
    if (Array.isArray(current)) {
      open.push(...(current as unknown[]))
    } else if (typeof current === 'object' && current !== null && !isRawNumber(current)) {
      for (const key in current) {
        bytes += Buffer.byteLength(key) + 4
        if (bytes > maxBytes) break
        open.push((current as Record<string, unknown>)[key])
      }
    }
  }
  return bytes > maxBytes
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value) + 2
  if (isRawNumber(value)) return value.rawJSON.length
  if (Array.isArray(value)) return value.length + 2
  return typeof value === 'object' && value !== null ? 2 : String(value).length
}

function checkType(value: unknown): string | null {
  const types: unknown[] = Array.isArray(value) ? value : [value]
  if (types.length > 0 && types.every(isSchemaType) && new Set(types).size === types.length) return null
  return `Use one of ${SCHEMA_TYPES.join(', ')}, or a list of different ones.`
}

function checkRequired(value: unknown): string | null {
  if (
    Array.isArray(value) &&
    value.every((name) => typeof name === 'string') &&
    new Set(value).size === value.length
  ) {
    return null
  }
  return 'Give a list of different property names.'
}

function checkEnum(value: unknown): string | null {
  const isScalar = (each: unknown): boolean =>
    each === null || ['string', 'number', 'boolean'].includes(typeof each)
  if (Array.isArray(value) && value.length > 0 && value.length <= MAX_ENUM_VALUES && value.every(isScalar))
    return null
  return `Give 1 to ${MAX_ENUM_VALUES} values that are text, numbers, booleans or null.`
}

function checkNumber(value: unknown): string | null {
  return typeof value === 'number' && Number.isFinite(value) ? null : 'Give a number.'
}

function checkLength(value: unknown): string | null {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? null : 'Give a whole number of 0 or more.'
}

function checkText(value: unknown): string | null {
  return typeof value === 'string' ? null : 'Give text.'
}
