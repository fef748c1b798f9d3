import fc from 'fast-check'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn } from '#test/infra/app-on.ts'
import { Contract } from '#test/openapi/contract.ts'
import { type NamedOperation, type OpenApiDocument, sampleBody, type Schema } from '#test/support/openapi.ts'

/** Of all operations together. */
const REQUESTS = 20_000
/** fast-check prints it with what failed; another one finds other things. */
const SEED = 20_261_129
/** Operations that are tried at a time, each for a shop of its own: their locks are in nobody's way. */
const LANES = 8
/** Problems of the service as a whole, which no single route declares. */
const OF_NO_ROUTE = new Set(['headers_too_large', 'method_not_allowed', 'route_not_found', 'request_timeout'])
/** As often a request is sent again that is told to come again. */
const PATIENCE = 20

// Some 40 s on two idle cores; other tests run beside it, on slower machines.
t.setTimeout(900_000)

const { url } = await createTestDatabase(t)
const app = await appOn(t, url)
const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApiDocument
const contract = new Contract(document)

/** A shop with one of what paths can name, and keys of every kind. */
interface Shop {
  id: string
  /** By who calls: what it sends along. */
  callers: Record<string, Record<string, string>>
  /** What is there, so that not every path is a 404. */
  known: string[]
}

async function createShop(): Promise<Shop> {
  const id = crypto.randomUUID()
  const platform = { authorization: `Bearer ${TEST_PLATFORM_KEY}`, 'x-tenant-id': id }
  const make = async (path: string, payload: object): Promise<Record<string, string>> => {
    const answer = await app.inject({ method: 'POST', url: path, headers: platform, payload })
    if (answer.statusCode >= 300) throw new Error(`${path}: ${answer.body}`)
    return answer.json()
  }
  const keyOf = async (fields: object): Promise<Record<string, string>> => {
    const { key = '' } = await make('/api/keys', { name: 'of the fuzz', ...fields })
    return { authorization: `Bearer ${key}`, 'x-tenant-id': id }
  }
  const plugin = await make('/api/plugins', {
    name: 'Known',
    slug: 'known',
    webhook_url: 'http://127.0.0.1:1/',
    events: ['*'],
  })
  const event = await make('/api/events', { event: 'product.created', data: { a: 1 } })
  const flow = await make('/api/automation/flows', {
    name: 'Known',
    trigger: { type: 'event', event_types: ['product.created'] },
    steps: [{ id: 'note', type: 'set', variables: { a: 1 } }],
  })
  const { id: keyId = '' } = await make('/api/keys', {
    name: 'to be revoked',
    kind: 'tenant',
    role: 'viewer',
  })
  return {
    id,
    known: ['known', 'product.created', plugin['id'] ?? '', event['id'] ?? '', flow['id'] ?? '', keyId],
    callers: {
      platform,
      admin: await keyOf({ kind: 'tenant', role: 'admin' }),
      editor: await keyOf({ kind: 'tenant', role: 'editor' }),
      viewer: await keyOf({ kind: 'tenant', role: 'viewer' }),
      plugin: await keyOf({ kind: 'plugin', plugin: 'known' }),
      nobody: {},
    },
  }
}
const WHO = ['platform', 'platform', 'platform', 'admin', 'admin', 'editor', 'viewer', 'plugin', 'nobody']
/** Stands for one of what a shop has: which one it is differs from shop to shop. */
const KNOWN = Array.from({ length: 6 }, (_, index) => `known value ${index}`)
const known = fc.constantFrom(...KNOWN)

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
  if (depth > 4) return anything
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

/** What is no JSON, or not what one expects of it. */
const raw = fc.constantFrom(
  '',
  '{',
  'null',
  '[]',
  '"text"',
  '{"__proto__":{"a":1},"constructor":{}}',
  '['.repeat(2_000),
  '{"a":1e999}',
  '\ufeff{}',
  '{"a":"\\ud800"}',
)

/** The document's own example, or with one member of it that is another or missing. */
function likeExample(found: NamedOperation): fc.Arbitrary<string> {
  const sample = sampleBody(document, found) ?? '{}'
  const example = JSON.parse(sample) as Record<string, unknown>
  const names = Object.keys(example)
  if (names.length === 0) return fc.constant(sample)
  const changed = fc
    .tuple(fc.constantFrom(...names), fc.option(anything, { nil: undefined }))
    .map(([name, value]) => JSON.stringify({ ...example, [name]: value }))
  return fc.oneof(fc.constant(sample), changed)
}

interface Call {
  who: string
  path: Record<string, string>
  query: Record<string, string | undefined>
  headers: Record<string, string | undefined>
  /** JSON, or what shall be none; undefined: no body. */
  body: string | undefined
}

function callOf(found: NamedOperation): fc.Arbitrary<Call> {
  const parameters = contract.parametersOf(found)
  const named = (where: string): Record<string, fc.Arbitrary<string>> =>
    Object.fromEntries(
      parameters
        // The caller says for whom it asks.
        .filter((parameter) => parameter.in === where && parameter.name !== 'X-Tenant-Id')
        .map(({ name, schema }) => [
          name,
          (where === 'path' ? fc.oneof(known, text) : near(schema)).map(asText),
        ]),
    )
  const body = found.operation.requestBody?.content['application/json']?.schema
  return fc.record({
    who: fc.constantFrom(...WHO),
    path: fc.record(named('path')),
    query: fc.record(named('query'), { requiredKeys: [] }),
    headers: fc.record(named('header'), { requiredKeys: [] }),
    body:
      body === undefined
        ? fc.constant(undefined)
        : fc.oneof(
            { weight: 10, arbitrary: near(body).map((value) => JSON.stringify(value)) },
            { weight: 15, arbitrary: likeExample(found) },
            { weight: 1, arbitrary: raw },
          ),
  })
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Answers that go on for minutes unless they are told to end; told twice, they refuse. */
const takesSeconds = ({ operation }: NamedOperation): boolean =>
  operation.parameters?.some(({ name }) => name === 'seconds') === true

async function send(shop: Shop, found: NamedOperation, call: Call): Promise<LightMyRequestResponse> {
  const own = (value: string): string =>
    value.replaceAll(/known value ([0-9])/g, (_all, index: string) => shop.known[Number(index)] ?? '')
  const path = found.path.replaceAll(/\{([^}]+)\}/g, (_all, name: string) => {
    const value = own(call.path[name] ?? '').toWellFormed()
    // Whoever reads a URL takes these for other paths.
    return /^\.{1,2}$/.test(value) ? 'dots' : encodeURIComponent(value)
  })
  const isLong = takesSeconds(found)
  const given = Object.entries(call.query).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !(isLong && entry[0] === 'seconds' && Number(entry[1]) > 0),
  )
  const isBrief = !isLong || given.some(([name]) => name === 'seconds')
  const query = own(new URLSearchParams(isBrief ? given : [...given, ['seconds', '0']]).toString())
  const headers = Object.entries(call.headers).flatMap(([name, value]) =>
    value === undefined
      ? []
      : [
          [
            name.toLowerCase(),
            own(value)
              .replaceAll(/[^ -~]/g, '?')
              .slice(0, 2_000),
          ],
        ],
  )
  return app.inject({
    method: found.method.toUpperCase() as 'GET',
    url: query === '' ? path : `${path}?${query}`,
    headers: {
      ...(Object.fromEntries(headers) as Record<string, string>),
      ...(call.body !== undefined && { 'content-type': 'application/json' }),
      ...shop.callers[call.who],
    },
    ...(call.body !== undefined && {
      payload: own(call.body).replaceAll(/("tenant_id":)"[^"]*"/g, `$1"${shop.id}"`),
    }),
  })
}

/** What is wrong with an answer, whatever was asked. */
function faultsOf(found: NamedOperation, answer: LightMyRequestResponse): string[] {
  const { statusCode: status, headers, rawPayload } = answer
  // 502 and 504 tell of somebody else's service, where the operation declares them.
  if (status >= 500 && status !== 502 && status !== 504) return [`${status}`]
  if (status >= 400) {
    if (headers['content-type'] !== 'application/problem+json') return ['it is no problem']
    const problem = answer.json<Record<string, unknown>>()
    const missing = ['type', 'title', 'detail', 'code', 'request_id'].filter(
      (member) => typeof problem[member] !== 'string',
    )
    if (missing.length > 0) return missing.map((member) => `no ${member}`)
    if (problem['status'] !== status) return ['status differs']
    if (OF_NO_ROUTE.has(String(problem['code']))) return []
  }
  return contract.checkAnswer(found, {
    status,
    answerHeaders: headers as Record<string, string>,
    answer: rawPayload,
  })
}

const LAST = ['put /api/tenant/quotas', 'delete']
/** What was made above stays until the others are done with it, and nothing is refused for its quota before. */
const isLast = ({ method, path }: NamedOperation): boolean =>
  LAST.some((start) => `${method} ${path}`.startsWith(start))
const { operations } = contract
const runs = Math.ceil(REQUESTS / operations.length)
let sent = 0
/** By status. */
const answers = new Map<number, number>()

async function tryAll(shops: readonly Shop[], wanted: readonly NamedOperation[]): Promise<string[]> {
  const failures: string[] = []
  // Each lane has its own ones, so that a shop meets the same in the same order whenever the seed is the same.
  const tryShare = async (shop: Shop, lane: number): Promise<void> => {
    for (const found of wanted.filter((_, index) => index % shops.length === lane)) {
      const property = fc.asyncProperty(callOf(found), async (call) => {
        let answer = await send(shop, found, call)
        // A machine that stands still for seconds has locks time out, and the answer says to come again.
        for (let again = 0; answer.statusCode === 503 && again < PATIENCE; again++)
          answer = await send(shop, found, call)
        sent++
        answers.set(answer.statusCode, (answers.get(answer.statusCode) ?? 0) + 1)
        const faults = faultsOf(found, answer)
        if (faults.length > 0)
          throw new Error(`${found.name}: ${faults.join('; ')}: ${answer.body.slice(0, 1_000)}`)
      })
      const details = await fc.check(property, { numRuns: runs, seed: SEED, endOnFailure: true })
      if (details.failed)
        failures.push(`${String(details.errorInstance)}\n${fc.defaultReportMessage(details)}`)
    }
  }
  await Promise.all(shops.map(tryShare))
  return failures
}

t.test(`whatever the ${operations.length} operations are sent, it is not our fault`, async (t) => {
  const shops = await Promise.all(Array.from({ length: LANES }, createShop))
  t.strictSame(
    await tryAll(
      shops,
      operations.filter((found) => !isLast(found)),
    ),
    [],
  )
  t.strictSame(await tryAll(shops, operations.filter(isLast)), [])
  t.ok(sent >= REQUESTS, `${sent} requests`)
  // It would find nothing behind the checks if most were refused there.
  const done = [...answers].filter(([status]) => status < 300).reduce((sum, [, count]) => sum + count, 0)
  t.ok(done > REQUESTS / 10, `answers by status: ${JSON.stringify([...answers])}`)
})
