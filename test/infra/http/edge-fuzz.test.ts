import fc from 'fast-check'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn } from '#test/infra/app-on.ts'

/** For all operations together: the rest of the suite needs the time, too. */
const TOTAL_MS = 20_000
const RUNS_PER_OPERATION = 150

type Schema = Record<string, unknown>
interface Operation {
  operationId: string
  parameters?: { in: string; name: string; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
}

const { url } = await createTestDatabase(t)
const app = await appOn(t, url)
const document = app.swagger() as unknown as {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

const KEY = {
  authorization: `Bearer ${TEST_PLATFORM_KEY}`,
  'x-tenant-id': '22222222-2222-4222-8222-222222222222',
}
const registered = await app.inject({
  method: 'POST',
  url: '/api/plugins',
  headers: KEY,
  payload: { name: 'Known', slug: 'known', webhook_url: 'http://127.0.0.1:1/', events: ['*'] },
})
const accepted = await app.inject({
  method: 'POST',
  url: '/api/events',
  headers: KEY,
  payload: { event: 'product.created', data: {} },
})
if (registered.statusCode !== 201 || accepted.statusCode !== 202)
  throw new Error(registered.body + accepted.body)
const { id: pluginId } = registered.json<{ id: string }>()
const { id: eventId } = accepted.json<{ id: string }>()
/** What is there, so that not every path is a 404. */
const known = fc.constantFrom('known', pluginId, eventId, 'product.created')

const nasty = fc.constantFrom<unknown>(
  '',
  ' ',
  '\0',
  '../../etc/passwd',
  "'; drop table plugins; --",
  '{{constructor}}',
  '\u{1F600}',
  'x'.repeat(5_000),
  'http://127.0.0.1:1/',
  '2026-02-30T25:61:61Z',
  '00000000-0000-0000-0000-000000000000',
  -1,
  0,
  2 ** 53,
  1e308,
  null,
  true,
  [],
  {},
)
const anything = fc.oneof(nasty, fc.jsonValue({ maxDepth: 3 }))
const text = fc.oneof(
  nasty.map(String),
  fc.string({ maxLength: 40, unit: 'binary' }),
  fc.uuid(),
  fc.integer().map(String),
)

/** Values that look like what a schema asks for, with every part now and then replaced by anything. */
function near(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  const reference = schema['$ref']
  if (typeof reference === 'string') {
    return near(document.components.schemas[reference.split('/').at(-1) ?? ''] ?? {}, depth)
  }
  if (depth > 5) return anything
  const options = (schema['anyOf'] ?? schema['oneOf']) as Schema[] | undefined
  const shaped =
    options !== undefined
      ? fc.oneof(...options.map((option) => near(option, depth + 1)))
      : ofType(schema, depth)
  return fc.oneof({ weight: 24, arbitrary: shaped }, { weight: 1, arbitrary: anything })
}

function ofType(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  if (Array.isArray(schema['enum'])) return fc.constantFrom<unknown>(...(schema['enum'] as unknown[]))
  if ('const' in schema) return fc.constant(schema['const'])
  switch ([schema['type']].flat()[0]) {
    case 'object': {
      const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>)
      const required = (schema['required'] ?? []) as string[]
      return fc.record(
        Object.fromEntries(properties.map(([name, inner]) => [name, near(inner, depth + 1)])),
        {
          requiredKeys: required.filter((name) => properties.some(([known]) => known === name)),
        },
      )
    }
    case 'array':
      return fc.array(near((schema['items'] ?? {}) as Schema, depth + 1), { maxLength: 3 })
    case 'integer':
    case 'number':
      return fc.oneof(fc.integer(), fc.integer({ min: 0, max: 100 }))
    case 'boolean':
      return fc.boolean()
    case 'string':
      return stringOf(schema)
    default:
      return anything
  }
}

function stringOf(schema: Schema): fc.Arbitrary<string> {
  if (schema['format'] === 'uuid') return fc.oneof(known, fc.uuid())
  if (schema['format'] === 'date-time') {
    return fc.date({ noInvalidDate: true, min: new Date(0) }).map((date) => date.toISOString())
  }
  if (typeof schema['pattern'] === 'string') return fc.stringMatching(new RegExp(schema['pattern'], 'u'))
  return fc.oneof(
    text,
    known,
    fc.constantFrom('http://127.0.0.1:1/hook', 'order.paid', '*', '$.customer.email'),
  )
}

interface Call {
  path: Record<string, string>
  query: Record<string, string | undefined>
  body: unknown
}

function callOf(operation: Operation): fc.Arbitrary<Call> {
  const named = (where: string): Record<string, fc.Arbitrary<string>> =>
    Object.fromEntries(
      (operation.parameters ?? [])
        .filter((parameter) => parameter.in === where)
        .map(({ name, schema }) => [
          name,
          (where === 'path' ? fc.oneof(known, text) : near(schema)).map(asText),
        ]),
    )
  const body = operation.requestBody?.content['application/json']?.schema
  return fc.record({
    path: fc.record(named('path')),
    query: fc.record(named('query'), { requiredKeys: [] }),
    body: body === undefined ? fc.constant(undefined) : near(body),
  })
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

async function send(method: string, template: string, call: Call): Promise<LightMyRequestResponse> {
  const path = template.replaceAll(/\{([^}]+)\}/g, (_all, name: string) =>
    encodeURIComponent((call.path[name] ?? 'x').toWellFormed()),
  )
  const given = Object.entries(call.query).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  const query = new URLSearchParams(given).toString()
  return app.inject({
    method: method.toUpperCase() as 'GET',
    url: query === '' ? path : `${path}?${query}`,
    headers: { ...KEY, ...(call.body !== undefined && { 'content-type': 'application/json' }) },
    ...(call.body !== undefined && { payload: JSON.stringify(call.body) }),
  })
}

const operations = Object.entries(document.paths)
  .flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  // What was registered above stays until the others are done with it.
  .sort((a, b) => Number(a.method === 'delete') - Number(b.method === 'delete'))
t.ok(operations.length > 20, `${operations.length} operations`)

for (const { path, method, operation } of operations) {
  t.test(`whatever ${operation.operationId} is sent, it is not our fault`, async () => {
    await fc.assert(
      fc.asyncProperty(callOf(operation), async (call) => {
        const answer = await send(method, path, call)
        if (answer.statusCode < 400) return
        // 502 and 504 tell of somebody else's service.
        if (answer.statusCode === 500 || answer.statusCode === 503)
          throw new Error(`${answer.statusCode}: ${answer.body}`)
        if (answer.headers['content-type'] !== 'application/problem+json') throw new Error(answer.body)
        const problem = answer.json<Record<string, unknown>>()
        for (const member of ['type', 'title', 'detail', 'code', 'request_id']) {
          if (typeof problem[member] !== 'string') throw new Error(`no ${member}: ${answer.body}`)
        }
        if (problem['status'] !== answer.statusCode) throw new Error(`status differs: ${answer.body}`)
      }),
      {
        numRuns: RUNS_PER_OPERATION,
        // One call must fit in, also of an operation that derives a key, on a machine that is busy.
        plugins: [fc.interruptAfterTimeLimit(Math.max(TOTAL_MS / operations.length, 2_000))],
      },
    )
  })
}
