import { ANSWER_HEADERS } from '#lib/api/schema.ts'

/** The part of @fastify/swagger's document that is completed here. */
interface Document {
  components: Record<string, object> & { schemas: Record<string, Schema> }
  paths: Record<string, Record<string, Operation>>
}

interface Operation {
  /** [] for routes that ask for no key; else the document's own holds. */
  security?: unknown[]
  parameters?: object[]
  requestBody?: { required: boolean; content: Record<string, Media> }
  responses: Record<string, { headers?: Record<string, object> }>
}

interface Media {
  schema: Schema
  example?: unknown
  examples?: Record<string, unknown>
}

type Schema = Record<string, unknown> & { $ref?: string }

const TENANT_ID = {
  name: 'X-Tenant-Id',
  in: 'header',
  required: false,
  description:
    'The tenant that the request is made for. A platform key acts for any and has to name one; the keys of a tenant ' +
    'and of a plugin have theirs, which this may only repeat.',
  schema: { type: 'string', format: 'uuid' },
  example: '11111111-1111-1111-1111-111111111111',
}
const REQUEST_ID = {
  name: 'X-Request-Id',
  in: 'header',
  required: false,
  description:
    'What the log and `request_id` of a problem call the request: 1 to 64 letters, digits, `.`, `_` or `-`. ' +
    'Default: a new one, also in place of what has another form.',
  schema: { type: 'string' },
  example: 'checkout-7f3a91',
}

/** Headers that come with a status, whatever the route. */
const OF_STATUS: Record<string, (keyof typeof ANSWER_HEADERS)[]> = {
  401: ['www-authenticate'],
  412: ['etag'],
  429: ['retry-after'],
  503: ['retry-after'],
}

/**
 * Adds to the document all that holds for every route and that @fastify/swagger does not know: the headers that every
 * route takes and answers with, the bodies that may be left out, and where defaults belong.
 */
export function completeDocument(given: object): object {
  const document = given as Document
  const { schemas } = document.components
  document.components['parameters'] = { TenantId: TENANT_ID, RequestId: REQUEST_ID }
  document.components['headers'] = { ...ANSWER_HEADERS }
  document.components.schemas = Object.fromEntries(
    // A default of the whole is that of a body, which is not required then.
    Object.entries(schemas).map(([name, schema]) => [
      name,
      withoutDefaults({ ...schema, default: undefined }),
    ]),
  )
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item)) completeOperation(operation, schemas)
  }
  return document
}

function completeOperation(operation: Operation, schemas: Record<string, Schema>): void {
  const shared = operation.security === undefined ? ['TenantId', 'RequestId'] : ['RequestId']
  operation.parameters = [
    ...(operation.parameters ?? []),
    ...shared.map((name) => ({ $ref: `#/components/parameters/${name}` })),
  ]
  if (operation.requestBody !== undefined) completeBody(operation.requestBody, schemas)
  for (const [status, response] of Object.entries(operation.responses)) {
    const names = [...Object.keys(response.headers ?? {}), ...(OF_STATUS[status] ?? [])]
    if (names.length === 0) continue
    response.headers = Object.fromEntries(
      [...new Set(names)].map((name) => [name, { $ref: `#/components/headers/${name}` }]),
    )
  }
}

/** @fastify/swagger takes every body for required, and leaves the examples of named schemas with those. */
function completeBody(body: NonNullable<Operation['requestBody']>, schemas: Record<string, Schema>): void {
  const media = Object.values(body.content)
  body.required = !media.every(({ schema }) => mayBeAbsent(schema, schemas))
  for (const one of media) {
    if (one.example !== undefined || one.examples !== undefined) continue
    const examples = examplesOf(one.schema, schemas)
    if (examples.length === 0) continue
    one.examples = Object.fromEntries(examples.map((value, index) => [`example${index + 1}`, { value }]))
  }
}

function examplesOf(schema: Schema, schemas: Record<string, Schema>): unknown[] {
  const { examples, anyOf, type, items } = resolve(schema, schemas)
  if (Array.isArray(examples)) return examples
  if (Array.isArray(anyOf)) return anyOf.flatMap((one) => examplesOf(one as Schema, schemas))
  return type === 'array' ? [examplesOf(items as Schema, schemas)] : []
}

/** Without a body, Fastify validates null, or the `default` (absent-body.ts). */
function mayBeAbsent(schema: Schema, schemas: Record<string, Schema>): boolean {
  const found = resolve(schema, schemas)
  return found['default'] !== undefined || takesNull(found, schemas)
}

function takesNull(schema: Schema, schemas: Record<string, Schema>): boolean {
  const found = resolve(schema, schemas)
  const alternatives = (found['anyOf'] ?? found['oneOf']) as Schema[] | undefined
  if (alternatives !== undefined) return alternatives.some((one) => takesNull(one, schemas))
  if (found['type'] === undefined) return found['enum'] === undefined && found['const'] === undefined
  return [found['type']].flat().includes('null')
}

function resolve(schema: Schema, schemas: Record<string, Schema>): Schema {
  return schema.$ref === undefined
    ? schema
    : (schemas[schema.$ref.replace('#/components/schemas/', '')] ?? {})
}

const LISTS_OF_SCHEMAS = ['anyOf', 'oneOf', 'allOf', 'prefixItems']
const MAPS_OF_SCHEMAS = ['properties', 'patternProperties', '$defs']
const SCHEMAS = ['items', 'additionalProperties', 'not', 'if', 'then', 'else', 'contains', 'propertyNames']

/**
 * Says defaults in words. A schema is named for requests and answers alike, and openapi-typescript takes a named
 * schema's member with a `default` for one that is always there: calls without it would not compile.
 */
function withoutDefaults(schema: Schema): Schema {
  const entries = Object.entries(schema)
    .filter(([keyword]) => keyword !== 'default')
    .map(([keyword, value]) => [keyword, inParts(keyword, value)])
  const found = Object.fromEntries(entries) as Schema
  if (schema['default'] === undefined) return found
  const said = typeof schema['description'] === 'string' ? schema['description'] : ''
  if (/\bdefault\b/i.test(said)) return found
  const fallback = `Default: \`${JSON.stringify(schema['default'])}\``
  return { ...found, description: said === '' ? fallback : `${said}. ${fallback}` }
}

function inParts(keyword: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (LISTS_OF_SCHEMAS.includes(keyword)) return (value as Schema[]).map(withoutDefaults)
  if (SCHEMAS.includes(keyword)) return withoutDefaults(value as Schema)
  if (!MAPS_OF_SCHEMAS.includes(keyword)) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, withoutDefaults(part as Schema)]),
  )
}
