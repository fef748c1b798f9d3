import type { SafeSchema, SchemaType } from './safe/shape.ts'
import { validate } from './safe/index.ts'

/** Values that one sample may hold: nested lists multiply. */
const MAX_VALUES = 500
const MAX_TEXT_CHARS = 1_000
export const TEXT = 'text'
export const TEXT_OF_FORMAT = {
  'date-time': '2030-01-01T12:00:00Z',
  email: 'someone@example.com',
  uri: 'https://example.com/',
} as const

/**
 * A value that the schema describes, always the same one: its author's example or default, else a value of its type.
 * Large demands (thousands of items or characters) are met only in part.
 *
 * @param schema one that `checkSchema` found no problem in
 */
export function sampleOf(schema: SafeSchema): unknown {
  return sample(schema, { left: MAX_VALUES })
}

function sample(schema: SafeSchema, budget: { left: number }): unknown {
  budget.left--
  for (const given of [...(schema.examples ?? []), schema.default, ...(schema.enum ?? [])]) {
    if (given !== undefined && validate(schema, given).length === 0) return given
  }
  switch (typeOf(schema)) {
    case 'object':
      return sampleObject(schema, budget)
    case 'array':
      return sampleList(schema, budget)
    case 'number':
    case 'integer':
      return sampleNumber(schema)
    case 'boolean':
      return true
    case 'null':
      return null
    case 'string':
      return sampleText(schema)
  }
}

function typeOf({ type, properties, items }: SafeSchema): SchemaType {
  const types = type === undefined ? [] : [type].flat()
  const said = types.find((each) => each !== 'null') ?? types[0]
  if (said !== undefined) return said
  if (properties !== undefined) return 'object'
  return items === undefined ? 'string' : 'array'
}

function sampleObject({ properties = {} }: SafeSchema, budget: { left: number }): Record<string, unknown> {
  const members: [string, unknown][] = []
  for (const [name, property] of Object.entries(properties)) {
    if (budget.left <= 0) break
    members.push([name, sample(property, budget)])
  }
  return Object.fromEntries(members)
}

function sampleList({ items = {}, minItems = 0, maxItems = 1 }: SafeSchema, budget: { left: number }) {
  const list: unknown[] = []
  const length = Math.max(minItems, Math.min(1, maxItems))
  while (list.length < length && budget.left > 0) list.push(sample(items, budget))
  return list
}

function sampleNumber({ minimum = -Infinity, maximum = Infinity }: SafeSchema): number {
  const value = Math.min(Math.max(1, minimum), maximum)
  return Number.isInteger(value) || Math.ceil(value) > maximum ? value : Math.ceil(value)
}

function sampleText({ format, minLength = 0, maxLength = MAX_TEXT_CHARS }: SafeSchema): string {
  if (format !== undefined) return TEXT_OF_FORMAT[format]
  return TEXT.padEnd(Math.min(minLength, MAX_TEXT_CHARS), '.').slice(0, maxLength)
}
