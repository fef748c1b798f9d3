import { isIntegerDecimal } from '#lib/json/decimal.ts'
import { toPointer } from '#lib/json/error.ts'
import { exactNumber, isRawNumber } from '#lib/json/raw-number.ts'
import type { SafeSchema, SchemaFormat, SchemaType } from './shape.ts'
import { parseTime } from '#lib/time.ts'
import { compareNumbers, valueTypeOf } from '#lib/json/value-type.ts'

export interface SchemaViolation {
  /** A pointer into the value. */
  pointer: string
  detail: string
}

const MAX_VIOLATIONS = 20
const MAX_EMAIL_CHARS = 254
const MAX_URI_CHARS = 2048
const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/
const ABSOLUTE_URI = /^[A-Za-z][A-Za-z0-9+.-]{0,30}:[^\s]/

interface Validation {
  readonly path: (string | number)[]
  readonly violations: SchemaViolation[]
}

/**
 * Lists what in the value breaks the schema, at most 20 violations. Time grows with the value alone: an object costs its
 * own members, not the schema's, and a required name that is missing is a violation, of which 20 end the work.
 *
 * @param schema one that `checkSchema` found no problem in; not changed afterwards
 */
export function validate(schema: SafeSchema, value: unknown): SchemaViolation[] {
  const validation: Validation = { path: [], violations: [] }
  visit(schema, value, validation)
  return validation.violations
}

function visit(schema: SafeSchema, value: unknown, validation: Validation): void {
  const { type } = schema
  if (type !== undefined) {
    const types = typeof type === 'string' ? [type] : type
    if (!types.some((wanted) => isOfType(value, wanted))) {
      violate(validation, `Must be ${types.join(' or ')}, not ${valueTypeOf(value)}.`)
      return
    }
  }
  if (schema.enum && !isInEnum(schema.enum, value)) {
    violate(
      validation,
      `Must be one of ${schema.enum
        .slice(0, 10)
        .map((each) => JSON.stringify(each))
        .join(', ')}.`,
    )
  }
  if (typeof value === 'string') visitText(schema, value, validation)
  else if (typeof value === 'number' || isRawNumber(value)) visitNumber(schema, value, validation)
  else if (Array.isArray(value)) visitList(schema, value, validation)
  else if (typeof value === 'object' && value !== null)
    visitObject(schema, value as Record<string, unknown>, validation)
}

function visitObject(schema: SafeSchema, value: Record<string, unknown>, validation: Validation): void {
  const { properties = {}, required = [], additionalProperties = true } = schema
  for (const name of required) {
    if (isFull(validation)) return
    if (!Object.hasOwn(value, name)) violate(validation, 'Is required.', name)
  }
  for (const name in value) {
    if (isFull(validation)) return
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (property) {
      validation.path.push(name)
      visit(property, value[name], validation)
      validation.path.pop()
    } else if (!additionalProperties) violate(validation, 'Is not a known property.', name)
  }
}

function visitList(schema: SafeSchema, value: unknown[], validation: Validation): void {
  const { items, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema
  if (value.length < minItems)
    violate(validation, `Must have at least ${minItems} items, has ${value.length}.`)
  if (value.length > maxItems)
    violate(validation, `Must have at most ${maxItems} items, has ${value.length}.`)
  if (!items) return
  for (const [index, item] of value.entries()) {
    if (isFull(validation)) return
    validation.path.push(index)
    visit(items, item, validation)
    validation.path.pop()
  }
}

function visitText(schema: SafeSchema, value: string, validation: Validation): void {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, format } = schema
  // A code point is one or two UTF-16 units: most text needs no counting.
  if (value.length < 2 * minLength && countCharacters(value) < minLength) {
    violate(validation, `Must have at least ${minLength} characters.`)
  }
  if (value.length > maxLength && countCharacters(value) > maxLength) {
    violate(validation, `Must have at most ${maxLength} characters.`)
  }
  if (format && !isOfFormat(value, format)) violate(validation, `Must be ${FORMAT_NAMES[format]}.`)
}

function visitNumber(schema: SafeSchema, value: unknown, validation: Validation): void {
  const { minimum, maximum } = schema
  if (minimum !== undefined && compareNumbers(value, minimum) < 0)
    violate(validation, `Must be at least ${minimum}.`)
  if (maximum !== undefined && compareNumbers(value, maximum) > 0)
    violate(validation, `Must be at most ${maximum}.`)
}

function isOfType(value: unknown, type: SchemaType): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string'
    case 'number':
      return typeof value === 'number' || isRawNumber(value)
    case 'integer':
      return isRawNumber(value) ? isIntegerDecimal(value.rawJSON) : Number.isInteger(value)
    case 'boolean':
      return typeof value === 'boolean'
    case 'null':
      return value === null
    case 'array':
      return Array.isArray(value)
    case 'object':
      return valueTypeOf(value) === 'object'
  }
}

const enumSets = new WeakMap<readonly unknown[], Set<unknown>>()

/** An enum holds numbers that JavaScript can carry: of another one only its spelling may differ. */
function isInEnum(values: readonly unknown[], value: unknown): boolean {
  let set = enumSets.get(values)
  if (!set) enumSets.set(values, (set = new Set(values)))
  return set.has(isRawNumber(value) ? exactNumber(value.rawJSON) : value)
}

const FORMAT_NAMES: Readonly<Record<SchemaFormat, string>> = {
  'date-time': 'a time with its zone, such as 2026-03-01T10:00:00Z',
  email: 'an e-mail address',
  uri: 'an absolute URI',
}

/** Finds mistakes by bounded checks; it does not find out whether mail arrives or a page is there. */
function isOfFormat(value: string, format: SchemaFormat): boolean {
  if (format === 'date-time') return DATE_TIME.test(value) && parseTime(value) !== null
  if (format === 'uri') {
    return value.length <= MAX_URI_CHARS && ABSOLUTE_URI.test(value) && URL.canParse(value)
  }
  if (value.length > MAX_EMAIL_CHARS || /[\s<>,;]/.test(value)) return false
  const at = value.lastIndexOf('@')
  const domain = value.slice(at + 1)
  return at > 0 && value.indexOf('@') === at && /^[^.].*\.[^.]+$/.test(domain) && !domain.includes('..')
}

function countCharacters(text: string): number {
  let characters = 0
  for (let at = 0; at < text.length; characters++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  return characters
}

function isFull(validation: Validation): boolean {
  return validation.violations.length >= MAX_VIOLATIONS
}

function violate(validation: Validation, detail: string, member?: string): void {
  if (isFull(validation)) return
  const path = member === undefined ? validation.path : [...validation.path, member]
  validation.violations.push({ pointer: toPointer(path), detail })
}
