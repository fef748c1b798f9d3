import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import {
  briefQuery,
  type NamedOperation,
  type OpenApiDocument,
  operationsOf,
  sampleBody,
} from '#test/support/openapi.ts'
import { browserHeaders } from '#test/support/session.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { recordStatements, tablesOf, withoutTenant } from '#test/support/statements.ts'
import { createNeighbourKey, createResources } from '#test/support/tenant-resources.ts'
import { snapshotTenant } from '#test/support/tenant-snapshot.ts'

/**
 * Everything here comes from the OpenAPI document: a new route is covered as soon as it exists, and fails this
 * test until tenant-resources.ts knows how to make what its path names.
 */
const service = await startApp(t)
const { app, db } = service
const statements = recordStatements(app.pools.api)
const receiver = await startReceiver(t)
const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApiDocument
const operations = operationsOf(document)

const a = service.tenant()
const resources = await createResources(a, receiver.url, { db, messages: app.messages })
const neighbour = { tenantId: a.id, key: await createNeighbourKey(a, receiver.url) }
const neighbourSession = { ...neighbour, session: await browserHeaders(app, { key: neighbour.key }) }
// The first use of a key is noted in its row: not a change to look for below.
await app.inject({ url: '/api/plugins', headers: { authorization: `Bearer ${neighbour.key}` } })
await app.statistics.flush()
const before = await snapshotTenant(db, a.id)

/** The number of a version stands in every other answer. */
const TRACE_MIN_CHARS = 8

/** Texts by which a stranger would know tenant A: its id and the names in its rows and paths. */
const traces = [
  a.id,
  ...Object.values(resources)
    .filter(({ value }) => value.length >= TRACE_MIN_CHARS)
    .map(({ value }) => value),
  ...Object.values(before)
    .flat()
    .map((row) => (row as { id?: string }).id)
    .filter((id) => id !== undefined),
]

interface Caller {
  tenantId: string
  key: string
  /** Of a browser that is logged in by the key: sent in its place. */
  session?: Record<string, string>
}

/** Tenants that were never there before, each by a key of its own, by a session of one, and by the platform key. */
const strangers: Record<string, () => Promise<Caller>> = {
  'a tenant key': async () => {
    const tenant = service.tenant()
    const made = await tenant.post('/api/keys', { name: 'admin', kind: 'tenant', role: 'admin' })
    return { tenantId: tenant.id, key: made.json<{ key: string }>().key }
  },
  'a session of a tenant key': async () => {
    const tenant = service.tenant()
    const made = await tenant.post('/api/keys', { name: 'admin', kind: 'tenant', role: 'admin' })
    const { key } = made.json<{ key: string }>()
    return { tenantId: tenant.id, key, session: await browserHeaders(app, { key }) }
  },
  'the platform key': async () => ({ tenantId: crypto.randomUUID(), key: TEST_PLATFORM_KEY }),
  'a session of the platform key': async () => {
    const tenantId = crypto.randomUUID()
    const session = await browserHeaders(app, { key: TEST_PLATFORM_KEY, tenant_id: tenantId })
    return { tenantId, key: TEST_PLATFORM_KEY, session }
  },
}

t.test('every path parameter names something that is made here', async (t) => {
  for (const { name, path, pathParameters } of operations) {
    for (const parameter of pathParameters) t.ok(resourceOf(path, parameter), `${name}: {${parameter}}`)
  }
})

/** By these a platform key is told who the tenants are, and whose plugins hold up the queue. */
const OF_ALL_TENANTS: ReadonlySet<string> = new Set(['listTenants', 'getOperation'])

for (const [who, stranger] of Object.entries(strangers)) {
  t.test(`by ${who}, another tenant's ids are answered like ids that never were`, async (t) => {
    for (const operation of operations.filter(({ pathParameters }) => pathParameters.length > 0)) {
      const caller = await stranger()
      const foreign = pathOf(operation, 'value')
      const unknown = pathOf(operation, 'unknown')
      const answers = [
        await call(caller, operation, foreign.path),
        await call(caller, operation, unknown.path),
      ] as const
      const [toForeign, toUnknown] = answers.map((answer) => visible(answer, foreign.mayMake))
      t.same(toForeign, toUnknown, operation.name)
      if (foreign.mayMake && operation.method === 'put') {
        t.ok(answers[0].statusCode < 300 || answers[0].statusCode === 404, `${operation.name}: own or none`)
      } else {
        t.equal(answers[0].statusCode, 404, `${operation.name}: ${answers[0].body}`)
      }
    }
  })

  t.test(`by ${who}, everything else shows nothing of another tenant`, async (t) => {
    for (const operation of operations.filter(({ pathParameters }) => pathParameters.length === 0)) {
      const { statusCode, body } = await call(
        await stranger(),
        operation,
        operation.path + queryOf(operation),
      )
      t.not(statusCode, 400, `${operation.name} takes what is sent: ${body}`)
      if (OF_ALL_TENANTS.has(operation.operation.operationId ?? '') && who.includes('platform key')) continue
      for (const trace of traces) t.notOk(body.includes(trace), `${operation.name} tells of ${trace}`)
    }
  })
}

t.test(
  "a plugin's key tells another plugin's things from nothing no better than a stranger does",
  async (t) => {
    for (const operation of operations) {
      if (!operation.pathParameters.some((name) => resourceOf(operation.path, name)?.ofPlugin)) continue
      const toForeign = await call(neighbour, operation, pathOf(operation, 'value').path)
      const toUnknown = await call(neighbour, operation, pathOf(operation, 'unknown').path)
      t.same(visible(toForeign, false), visible(toUnknown, false), operation.name)
      const bySession = await call(neighbourSession, operation, pathOf(operation, 'value').path)
      t.same(visible(bySession, false), visible(toUnknown, false), `${operation.name}, by a session`)
      t.ok([403, 404].includes(toForeign.statusCode), `${operation.name}: ${toForeign.body}`)
    }
  },
)

t.test('and nothing of the tenant has changed or was sent', async (t) => {
  t.same(await snapshotTenant(db, a.id), before)
  t.ok(Object.values(before).flat().length >= Object.keys(resources).length, 'there is something to change')
  t.equal(receiver.received.length, 0)
})

t.test('its own ids work for the tenant itself', async (t) => {
  for (const operation of operations) {
    if (operation.method !== 'get' || operation.pathParameters.length === 0) continue
    // It answers the handshakes of schemes that have one, and the inlet that is made here has none.
    if (operation.path === '/hooks/{token}') continue
    const { statusCode, body } = await call(
      { tenantId: a.id, key: TEST_PLATFORM_KEY },
      operation,
      pathOf(operation, 'value').path,
    )
    t.equal(statusCode, 200, `${operation.name}: ${body}`)
  }
})

function resourceOf(path: string, parameter: string) {
  return resources[path.slice(0, path.indexOf(`{${parameter}}`) + parameter.length + 2)]
}

function pathOf({ path, pathParameters }: NamedOperation, kind: 'value' | 'unknown') {
  let mayMake = false
  const filled = pathParameters.reduce((filled, parameter) => {
    const resource = resourceOf(path, parameter)
    if (resource === undefined) throw new Error(`${path}: nothing to put for ${parameter}`)
    mayMake ||= resource.named
    return filled.replace(`{${parameter}}`, kind === 'value' ? resource.value : resource.unknown())
  }, path)
  return { path: filled, mayMake }
}

/** Returns a query with the required parameters. */
function queryOf({ operation }: NamedOperation): string {
  const required = (operation.parameters ?? []).filter(
    ({ in: place, required }) => place === 'query' && required === true,
  )
  return required.length === 0 ? '' : `?${required.map(({ name }) => `${name}=unknown`).join('&')}`
}

async function call(
  { tenantId, key, session }: Caller,
  operation: NamedOperation,
  url: string,
): Promise<LightMyRequestResponse> {
  const body = sampleBody(document, operation)?.replace(/("tenant_id":)"[^"]*"/g, `$1"${tenantId}"`)
  return app.inject({
    method: operation.method.toUpperCase() as 'GET',
    url: `${url}${briefQuery(operation)}`,
    headers: {
      ...(session ?? { authorization: `Bearer ${key}` }),
      'x-tenant-id': tenantId,
      'x-request-id': 'the-same',
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { payload: body }),
  })
}

/**
 * Returns the parts by which a caller can tell two answers apart. The result of a PUT carries its own name, id and
 * times.
 */
function visible({ statusCode, headers, body }: LightMyRequestResponse, mayMake: boolean) {
  if (!mayMake || statusCode >= 300) return { statusCode, headers: { ...headers, date: null }, body }
  return { statusCode, members: Object.keys(JSON.parse(body) as object) }
}

/**
 * Statements that find out whose a request is, or are asked for by a platform key that asks about all shops: they name no
 * tenant. By a piece of their text.
 */
const TENANTLESS: readonly { why: string; piece: RegExp; isRare?: true }[] = [
  { why: 'whose a key is', piece: /^select .* from "api_keys" as "key" .* where "key"\."hash" = / },
  {
    why: 'how long the caller may go on',
    piece: /^select "name" as "label", "expires_at" from "api_keys" where "id" = /,
  },
  {
    why: 'that the caller was there',
    piece: /^update "(api_keys|sessions)" set "(last_used_at|seen_at)" = now\(\) where "id" = /,
  },
  { why: 'whose a session is, by its secret, its id or its link', piece: /"sessions" as "session"/ },
  {
    why: 'which session a platform key ends',
    piece:
      /^update "sessions" set "revoked_at" = now\(\) where "id" = \$1 and "revoked_at" is null returning /,
  },
  { why: 'how long the oldest work of all shops waits', piece: /extract\(epoch from now\(\) - / },
  { why: 'how the lanes of all shops stand', piece: /from delivery_lanes\b/ },
  {
    why: 'how many events and flows of all shops wait for somebody',
    piece: /from set_aside_events where wanted_at is null limit/,
  },
  {
    why: 'which secrets of all shops cannot be opened',
    piece: /^select 'plugin_secrets\.sealed' as name/,
    isRare: true,
  },
]

t.test(
  "every statement of a request names its tenant, for each table that holds what is a tenant's",
  async (t) => {
    const { rows } = await app.pools.worker.query<{ name: string }>(
      `select table_name as name from information_schema.columns
     where table_schema = 'public' and column_name = 'tenant_id'`,
    )
    const ofTenants = new Set(rows.map(({ name }) => name))
    const unused = new Set(TENANTLESS.filter(({ isRare }) => isRare !== true))
    for (const statement of statements) {
      const places = tablesOf(statement).filter((table) => ofTenants.has(table)).length
      const names = statement.match(/tenant_id|tenants/g)?.length ?? 0
      const tables = withoutTenant(statement, ofTenants)
      if (places <= names && tables.length === 0) continue
      const reason = TENANTLESS.find(({ piece }) => piece.test(statement))
      if (reason === undefined)
        t.fail(`names no tenant for ${tables.join(', ')} (${names} for ${places} tables): ${statement}`)
      else unused.delete(reason)
    }
    t.strictSame([...unused], [], 'no exception without a statement')
    t.ok(statements.size > 100, `${statements.size} statements were seen`)
  },
)

t.test('a statement that names a tenant elsewhere than where it decides about rows is found', async (t) => {
  const ofTenants = new Set(['events', 'plugins', 'deliveries'])
  for (const statement of [
    'select "tenant_id", "id" from "plugins" where "id" = $1',
    'select e.tenant_id, e.tenant_id from events e join plugins p on p.id = e.plugin_id where e.tenant_id = $1',
    'select id from events where tenant_id = $1 and exists (select from plugins where id = $2) order by tenant_id',
    'update plugins set tenant_id = $1 where id = $2 returning tenant_id',
    'delete from plugins where id = $1 returning tenant_id, tenant_id',
    'insert into deliveries (id, body) select id, body from events where tenant_id = $1',
    'select id from events where tenant_id = $1 union all select tenant_id from plugins where id = $2',
  ]) {
    t.not(withoutTenant(statement, ofTenants).length, 0, statement)
  }
  for (const statement of [
    'select "id" from "plugins" where "tenant_id" = $1 and "id" = $2',
    'select e.id from events as e join plugins p on p.tenant_id = e.tenant_id and p.id = e.plugin_id where e.tenant_id = $1',
    'insert into "deliveries" ("tenant_id", "id") values ($1, $2) on conflict (tenant_id, id) do nothing',
    'with due as (select id from events where (tenant_id, id) = ($1, $2)) update plugins set name = $3 where tenant_id = $1',
  ]) {
    t.strictSame(withoutTenant(statement, ofTenants), [], statement)
  }
})
