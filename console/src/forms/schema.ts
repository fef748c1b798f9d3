import { digitsOf, spelledNumber } from '../../../src/lib/json/raw-number.ts'
import type { SafeSchema } from '../../../src/lib/schema/safe/index.ts'
import { isPlainObject } from '../../../src/lib/schema/safe/shape.ts'

export type { SafeSchema }
export { isPlainObject }

type SchemaKind = 'text' | 'number' | 'switch' | 'choice' | 'group' | 'list' | 'json'

/** By which field a value is edited: by the schema, but for what would not show the value that is there. */
export function kindOf(schema: SafeSchema, value: unknown): SchemaKind {
  const kind = schemaKind(schema)
  if (value === undefined || kind === 'json') return kind
  // In place of any value an expression may stand.
  if (typeof value === 'string') return kind === 'group' || kind === 'list' ? 'text' : kind
  const fits = {
    text: digitsOf(value) !== null && types(schema).some((type) => type !== 'string'),
    number: digitsOf(value) !== null,
    switch: typeof value === 'boolean',
    choice: !isPlainObject(value) && !Array.isArray(value),
    group: isPlainObject(value),
    list: Array.isArray(value),
  }
  return fits[kind] ? kind : 'json'
}

function types({ type }: SafeSchema): readonly string[] {
  return (type === undefined ? [] : [type].flat()).filter((each) => each !== 'null')
}

function schemaKind(schema: SafeSchema): SchemaKind {
  if (schema.enum !== undefined) return 'choice'
  const said = types(schema)
  if (said.includes('string') && !said.includes('object') && !said.includes('array')) return 'text'
  if (said.length !== 1 && !(said.length === 2 && said.includes('integer') && said.includes('number'))) {
    return said.length === 0 && schema.properties !== undefined ? 'group' : 'json'
  }
  switch (said[0]) {
    case 'number':
    case 'integer':
      return 'number'
    case 'boolean':
      return 'switch'
    case 'object':
      return schema.properties === undefined ? 'json' : 'group'
    case 'array':
      return schema.items === undefined ? 'json' : 'list'
    default:
      return 'json'
  }
}

/** What a field begins with when it is added. */
export function freshValue(schema: SafeSchema): unknown {
  if (schema.default !== undefined) return schema.default
  switch (schemaKind(schema)) {
    case 'choice':
      return schema.enum?.[0] ?? null
    case 'switch':
      return false
    case 'group':
      return Object.fromEntries(
        (schema.required ?? []).flatMap((name) => {
          const member = schema.properties?.[name]
          return member === undefined ? [] : [[name, freshValue(member)]]
        }),
      )
    case 'list':
      return []
    case 'json':
      return types(schema).includes('array') ? [] : {}
    default:
      return ''
  }
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/

/** A number as it was typed; anything else, such as an expression, stays text. */
export function numberOrText(text: string): unknown {
  return NUMBER.test(text.trim()) ? spelledNumber(text.trim()) : text
}

/** The text of a field whose value is text or a number. */
export function fieldText(value: unknown): string {
  return typeof value === 'string' ? value : (digitsOf(value) ?? '')
}

const LONG_NAME = /body|message|text|html|content|description|prompt/i
const LONG_CHARS = 200

export function isLongText(name: string, { maxLength, format }: SafeSchema, value: unknown): boolean {
  if (typeof value === 'string' && value.includes('\n')) return true
  return format === undefined && (LONG_NAME.test(name) || (maxLength !== undefined && maxLength > LONG_CHARS))
}

/** `max_items` as people read it: Max items. */
export function labelOf(name: string, { title }: SafeSchema = {}): string {
  if (title !== undefined && title !== '') return title
  const spaced = name.replaceAll('_', ' ').replaceAll(/([a-z])([A-Z])/g, '$1 $2')
  return spaced.slice(0, 1).toUpperCase() + spaced.slice(1)
}
