import t from 'tap'
import type { AuditLogEntry } from '#modules/audit/schemas.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { clientFor, startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'

interface Page {
  data: AuditLogEntry[]
  next_cursor: string | null
}

const service = await startApp(t)
const { app } = service
const newTenant = (): Tenant => service.tenant()

async function log(tenant: Tenant, query: Record<string, string> = {}): Promise<Page> {
  const answer = await tenant.get(`/api/audit-log?${new URLSearchParams(query).toString()}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json()
}

async function adminOf(tenant: Tenant): Promise<{ id: string; client: Tenant }> {
  const made = await tenant.post('/api/keys', { name: 'admin', kind: 'tenant', role: 'admin' })
  const { id, key } = made.json<ApiKeyWithSecret>()
  return { id, client: clientFor(app, tenant.id, key) }
}

t.test('an entry says who did what to what, in which request', async (t) => {
  const tenant = newTenant()
  const { id, client } = await adminOf(tenant)
  const answer = await client.post(
    '/api/keys',
    { name: 'reader', kind: 'tenant', role: 'viewer' },
    { 'x-request-id': 'req-7' },
  )
  const [entry] = (await log(tenant)).data
  t.match(entry, {
    tenant_id: tenant.id,
    actor_kind: 'tenant',
    actor_id: id,
    action: 'key.created',
    target_kind: 'key',
    target_id: answer.json<ApiKeyWithSecret>().id,
    detail: { name: 'reader', kind: 'tenant', role: 'viewer' },
    request_id: 'req-7',
  })
})

t.test('entries are narrowed by action, actor, target and time', async (t) => {
  const tenant = newTenant()
  const { id, client } = await adminOf(tenant)
  await client.patch('/api/tenant', { strict_events: true })
  await tenant.patch('/api/tenant', { strict_events: false })
  const all = (await log(tenant)).data
  // Sorted: entries of the same millisecond have no order.
  const actions = async (query: Record<string, string>) =>
    (await log(tenant, query)).data.map(({ action, actor_kind }) => `${action} by ${actor_kind}`).sort()
  const first = 'key.created by platform'
  const [last, middle] = ['tenant.updated by platform', 'tenant.updated by tenant']
  t.same(await actions({}), [first, last, middle])
  t.same(await actions({ action: 'tenant.updated' }), [last, middle])
  t.same(await actions({ actor: id }), [middle])
  t.same(await actions({ actor: 'platform' }), [first, last])
  t.same(await actions({ target: id }), [first])
  t.same(await actions({ target: 'tenant' }), [last, middle])
  t.same(await actions({ action: 'tenant.updated', actor: 'tenant', target: tenant.id }), [middle])
  const lastAt = String(all.find((entry) => entry.detail['strict_events'] === false)?.created_at)
  t.same(await actions({ until: '2001-01-01T00:00:00Z' }), [])
  t.same(await actions({ since: '2001-01-01T00:00:00Z', until: '2999-01-01T00:00:00Z' }), [
    first,
    last,
    middle,
  ])
  t.notOk((await actions({ until: lastAt })).includes(last), 'until is exclusive')
  t.ok((await actions({ since: lastAt })).includes(last), 'since is inclusive')
})

t.test('it comes newest first, page by page', async (t) => {
  const tenant = newTenant()
  for (let i = 0; i < 5; i++) await tenant.patch('/api/tenant', { strict_events: i % 2 === 0 })
  const whole = (await log(tenant)).data.map(({ id }) => id)
  t.equal(whole.length, 5)
  t.same(whole, whole.toSorted().reverse())
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page: Page = await log(tenant, { limit: '2', ...(cursor !== null && { cursor }) })
    seen.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
  } while (cursor !== null)
  t.same(seen, whole)
})

t.test('queries that cannot be meant are a 400 that names the parameter', async (t) => {
  const tenant = newTenant()
  const cases: Record<string, string> = {
    'since=yesterday': '/querystring/since',
    'until=2026-13-01T00:00:00Z': '/querystring/until',
    'actor=': '/querystring/actor',
    'limit=201': '/querystring/limit',
    'colour=red': '/querystring/colour',
  }
  for (const [query, pointer] of Object.entries(cases)) {
    const answer = await tenant.get(`/api/audit-log?${query}`)
    t.equal(answer.statusCode, 400, query)
    t.equal(answer.json<{ errors: { pointer: string }[] }>().errors[0]?.pointer, pointer)
  }
  t.equal((await tenant.get('/api/audit-log?cursor=x')).json<{ code: string }>().code, 'invalid_cursor')
  t.equal((await tenant.get('/api/audit-log?action=%00')).statusCode, 400)
  t.equal((await tenant.get('/api/audit-log?since=0000-01-01T00:00:00Z')).statusCode, 200)
})

t.test('a tenant sees its own entries only, and those above tenants are for platform keys', async (t) => {
  const [a, b] = [newTenant(), newTenant()]
  await a.patch('/api/tenant', { strict_events: true })
  const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
  const payload = { name: 'ops', kind: 'platform' }
  const made = await app.inject({ method: 'POST', url: '/api/keys', headers, payload })
  const { id } = made.json<ApiKeyWithSecret>()

  t.same((await log(b)).data, [])
  const { client } = await adminOf(a)
  t.ok((await log(client)).data.every(({ tenant_id }) => tenant_id === a.id))
  t.same((await log(client, { target: id })).data, [])
  const above = (await app.inject({ url: `/api/audit-log?target=${id}`, headers })).json<Page>()
  t.match(above.data, [{ tenant_id: null, action: 'key.created', actor_kind: 'platform', actor_id: null }])
})

t.test('only admins read it', async (t) => {
  const tenant = newTenant()
  const made = await tenant.post('/api/keys', { name: 'editor', kind: 'tenant', role: 'editor' })
  const editor = clientFor(app, tenant.id, made.json<ApiKeyWithSecret>().key)
  t.equal((await editor.get('/api/audit-log')).statusCode, 403)
})

t.test('an entry names its actor, and the log is searched by how things begin', async (t) => {
  const tenant = newTenant()
  const { id, client } = await adminOf(tenant)
  await client.put('/api/variables/greeting', { value: 'Hello' })
  const { data } = await log(tenant, { q: 'greet' })
  t.match(data, [{ actor_id: id, actor_name: 'admin', target_id: 'greeting' }])
  t.equal(data.length, 1)
  t.strictSame(
    (await log(tenant, { q: 'key.' })).data.map(({ action }) => action),
    ['key.created'],
  )
  t.strictSame((await log(tenant, { q: '%' })).data, [])
  const [byPlatform] = (await log(tenant, { q: 'key.created' })).data
  t.equal(byPlatform?.actor_name, null)
})
