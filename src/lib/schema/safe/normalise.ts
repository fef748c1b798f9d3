import { isPlainObject, isSchemaType } from './shape.ts'

/** Deeper shorthand is left as it is; the check refuses it. */
const MAX_DEPTH = 16

/** JSON Schema's own words whose value may be an object; `$…` are too. They are no names of a shorthand map. */
const KEYWORDS: ReadonlySet<string> = new Set(
  (
    'items not if then else contains propertyNames patternProperties definitions dependentSchemas dependencies ' +
    'additionalProperties unevaluatedProperties unevaluatedItems additionalItems default const title description format'
  ).split(' '),
)

/**
 * Writes shorthand out as JSON Schema; everything else stays as it is, for `checkSchema` to judge:
 *
 * - `"string"` is `{ "type": "string" }`
 * - `{ "type": "string", "required": true }` among properties puts its name into the object's `required`
 * - `{ "email": "string", "age": { "type": "integer" } }` is an object with these properties
 */
export function normaliseSchema(input: unknown): unknown {
  return normalise(input, 0)
}

function normalise(input: unknown, depth: number): unknown {
  if (isSchemaType(input)) return { type: input }
  if (!isPlainObject(input) || depth > MAX_DEPTH) return input
  if (isPropertyMap(input)) return withProperties({ type: 'object' }, input, depth)

  const { required, properties, ...schema } = input
  if (required !== undefined && typeof required !== 'boolean') schema['required'] = required
  if (Object.hasOwn(schema, 'items')) schema['items'] = normalise(schema['items'], depth + 1)
  if (isPlainObject(properties)) return withProperties(schema, properties, depth)
  return properties === undefined ? schema : { ...schema, properties }
}

function withProperties(
  schema: Record<string, unknown>,
  properties: Record<string, unknown>,
  depth: number,
): Record<string, unknown> {
  const entries = Object.entries(properties)
  const lifted = entries
    .filter(([, each]) => isPlainObject(each) && each['required'] === true)
    .map(([name]) => name)
  const normalised = {
    ...schema,
    properties: Object.fromEntries(entries.map(([name, each]) => [name, normalise(each, depth + 1)])),
  }
  if (lifted.length === 0) return normalised
  const { required } = schema
  if (required !== undefined && !Array.isArray(required)) return normalised
  return {
    ...normalised,
    required: [...new Set([...((required as unknown[] | undefined) ?? []), ...lifted])],
  }
}

/** Names with a type or a schema each, rather than a schema. `type` and `properties` always tell a schema. */
function isPropertyMap(input: Record<string, unknown>): boolean {
  if (typeof input['type'] === 'string' || isPlainObject(input['properties'])) return false
  const entries = Object.entries(input)
  if (entries.length === 0 || !entries.every(([, each]) => isSchemaType(each) || isPlainObject(each)))
    return false
  return (
    entries.every(([, each]) => isSchemaType(each)) ||
    entries.some(([name]) => !KEYWORDS.has(name) && !name.startsWith('$'))
  )
}
