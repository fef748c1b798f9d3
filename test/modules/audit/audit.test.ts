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

t.test('an entry is read by its id, by admins of its shop alone', async (t) => {
  const [shop, other] = [newTenant(), newTenant()]
  const { id: key, client } = await adminOf(shop)
  await client.put('/api/variables/greeting', { value: 'Hello' })
  const [listed] = (await log(shop, { action: 'variable.created' })).data
  const url = `/api/audit-log/${listed?.id}`
  const read = await client.get(url)
  t.same(read.json(), listed)
  t.match(read.json(), { actor_id: key, actor_name: 'admin', target_id: 'greeting' })

  t.match((await other.get(url)).json(), { status: 404, code: 'audit_entry_not_found' })
  t.equal((await shop.get(`/api/audit-log/${crypto.randomUUID()}`)).statusCode, 404)
  t.match((await shop.get('/api/audit-log/last')).json(), {
    status: 400,
    errors: [{ pointer: '/params/id' }],
  })
  const made = await shop.post('/api/keys', { name: 'editor', kind: 'tenant', role: 'editor' })
  const editor = clientFor(app, shop.id, made.json<ApiKeyWithSecret>().key)
  t.equal((await editor.get(url)).statusCode, 403)

  const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
  const payload = { name: 'ops', kind: 'platform' }
  const { id } = (
    await app.inject({ method: 'POST', url: '/api/keys', headers, payload })
  ).json<ApiKeyWithSecret>()
  const above = (await app.inject({ url: `/api/audit-log?target=${id}`, headers })).json<Page>().data[0]
  const byId = `/api/audit-log/${above?.id}`
  t.same((await app.inject({ url: byId, headers })).json(), above)
  t.equal((await shop.get(byId)).statusCode, 404, 'what is above the shops is none of theirs')
  t.equal((await app.inject({ url, headers })).statusCode, 404)
})

t.test(
  'a change of settings is told as it was and as it is, without secrets and at a bounded length',
  async (t) => {
    const shop = newTenant()
    const webhook_url = 'https://mail.example/hooks'
    await shop.post('/api/plugins', { slug: 'mailer', name: 'Mailer', webhook_url, timeout_ms: 5_000 })
    const changed = async (action: string) => (await log(shop, { action })).data[0]?.detail

    await shop.patch('/api/plugins/mailer', {
      webhook_url: 'https://mail.example/new?token=hunter2',
      timeout_ms: 9_000,
      config: { api: 'hunter2' },
      events: Array.from({ length: 100 }, (_, n) => `order.kind_number_${n + 100}`),
      metadata: { note: 'x' },
    })
    t.strictSame(await changed('plugin.updated'), {
      slug: 'mailer',
      changed: ['webhook_url', 'events', 'config', 'metadata', 'timeout_ms'],
      before: { webhook_url, events: [], timeout_ms: 5_000 },
      after: {
        webhook_url: 'https://mail.example/new?token=[redacted]',
        events: { truncated: true, characters: 2_401 },
        timeout_ms: 9_000,
      },
    })
    await shop.patch('/api/tenant', { strict_events: true, time_zone: 'UTC' })
    t.match(await changed('tenant.updated'), {
      before: { strict_events: false },
      after: { strict_events: true },
    })
    await shop.put('/api/tenant/quotas', { plugins: 7 })
    await shop.put('/api/tenant/quotas', { plugins: 9 })
    t.match(await changed('tenant.quotas_set'), { before: { plugins: 7 }, after: { plugins: 9 } })
    const values = { value: 'hunter2' }
    const settings = { header: 'X-Key' }
    await shop.post('/api/connections', {
      name: 'pay',
      kind: 'header',
      hosts: ['a.example'],
      settings,
      values,
    })
    await shop.patch('/api/connections/pay', { hosts: ['b.example'], settings, values })
    t.match(await changed('connection.updated'), {
      before: { hosts: ['a.example'] },
      after: { hosts: ['b.example'] },
    })
    await shop.put('/api/tenant/platform', { url: 'https://shop.example', token: 'hunter2' })
    t.match(await changed('tenant.platform_changed'), {
      changed: ['url', 'token'],
      before: { url: null, has_token: false },
      after: { url: 'https://shop.example', has_token: true },
    })
    await shop.put('/api/tenant/platform', { url: 'https://shop.example', token: 'hunter2-new' })
    t.strictSame(await changed('tenant.platform_changed'), {
      url: 'https://shop.example',
      has_token: true,
      changed: ['token'],
    })
    await shop.put('/api/tenant/platform', { url: null })
    t.match(await changed('tenant.platform_changed'), { changed: ['url', 'token'], after: { url: null } })
    t.notMatch(JSON.stringify((await log(shop)).data), /hunter2/)
  },
)

t.test(
  "a change of settings tells no value that may be a customer's: no erasure goes through the log",
  async (t) => {
    const shop = newTenant()
    const ann = 'ann@customer.example'
    const filter = (value: string) => ({
      all: [
        { field: 'customer.email', operator: 'equals', value },
        { field: 'items', operator: 'any', value: { field: 'item.gift_for', operator: 'equals', value } },
      ],
    })
    await shop.post('/api/plugins', {
      slug: 'mailer',
      name: 'Mailer',
      webhook_url: 'https://mail.example/hooks',
    })
    const patch = async (body: object) => {
      const answer = await shop.patch('/api/plugins/mailer', body)
      t.equal(answer.statusCode, 200)
    }
    await patch({
      events: ['order.paid', { event: 'order.created', filter: filter(ann), exclude: ['total'] }],
      metadata: { vip: ann },
      description: `Asked for by ${ann}`,
    })
    const { detail } = (await log(shop, { action: 'plugin.updated' })).data[0] ?? {}
    const told = { event: 'order.created', filter: { fields: ['customer.email', 'items', 'item.gift_for'] } }
    t.strictSame(detail, {
      slug: 'mailer',
      changed: ['description', 'events', 'metadata'],
      before: { events: [] },
      after: { events: ['order.paid', { ...told, exclude: ['total'] }] },
    })
    await patch({
      events: ['order.paid', { event: 'order.created', filter: filter('b'), exclude: ['total'] }],
    })
    t.strictSame((await log(shop, { action: 'plugin.updated' })).data[0]?.detail, {
      slug: 'mailer',
      changed: ['events'],
    })
    const connection = { name: 'pay', kind: 'header', hosts: ['a.example'], values: { value: 'hunter2' } }
    t.equal((await shop.post('/api/connections', { ...connection, description: ann })).statusCode, 201)
    await shop.patch('/api/connections/pay', { description: `For ${ann} alone` })
    t.match((await log(shop, { action: 'connection.updated' })).data[0]?.detail, { changed: ['description'] })
    t.notMatch(JSON.stringify((await log(shop)).data), /ann@/)
  },
)
