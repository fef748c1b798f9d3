import t from 'tap'
import { sql } from 'kysely'
import { parseSecret } from '#lib/secrets/signature.ts'
import { startApp } from '#test/support/app.ts'
import {
  auditOf,
  clientOf,
  type PluginBody,
  type ProblemBody,
  register,
  subscriptionsVersion,
  WEBHOOK_URL,
} from './support.ts'

const service = await startApp(t)
const { db } = service

t.test('a plugin is registered with its secret shown this once', async (t) => {
  const tenant = service.tenant()
  const response = await tenant.post('/api/plugins', {
    name: 'Email Marketing',
    slug: 'email-marketing',
    webhook_url: 'https://plugin.example/webhooks',
    description: 'Newsletters',
    events: ['customer.created', 'order.*'],
    status: 'active',
    config: { api_key: 'em_live_8c1f' },
    metadata: { owner: 'growth' },
  })
  t.equal(response.statusCode, 201, response.body)
  t.equal(response.headers['location'], '/api/plugins/email-marketing')
  t.equal(response.headers['etag'], '"1"')
  const { secret, ...plugin } = response.json<PluginBody>()
  t.equal(parseSecret(secret ?? '').length, 32)
  t.match(plugin, {
    slug: 'email-marketing',
    name: 'Email Marketing',
    base_url: 'https://plugin.example',
    events: ['customer.created', 'order.*'],
    status: 'active',
    status_reason: null,
    config: { api_key: 'em_live_8c1f' },
    metadata: { owner: 'growth' },
    headers: {},
    retry_schedule: null,
    effective: {
      retry_schedule: [30, 300, 3600],
      timeout_ms: 10_000,
      rate_limit_per_second: null,
      max_in_flight: 4,
    },
    health: { state: 'unknown', consecutive_failures: 0, breaker: 'closed' },
    waiting: 0,
    revision: 1,
  })
  t.match(plugin.secrets, [{ expires_at: null }])
  const read = await tenant.get('/api/plugins/email-marketing')
  t.strictSame(read.json(), plugin, 'and read back without it')
  t.notOk(read.body.includes('whsec_'))
})

t.test('what the name offers becomes the slug when none is given', async (t) => {
  for (const [name, slug] of [
    ['Émail & Marketing 2', 'email-marketing-2'],
    ['--Rückruf--', 'ruckruf'],
    [`${'a'.repeat(62)} b`, 'a'.repeat(62)],
  ] as const) {
    t.equal((await register(t, service.tenant(), { name })).slug, slug)
  }
  const response = await service.tenant().post('/api/plugins', { name: '日本', webhook_url: WEBHOOK_URL })
  t.equal(response.statusCode, 400)
  t.match(response.json(), { errors: [{ pointer: '/slug' }] })
})

t.test('the caller may bring a signing secret of 24 to 64 bytes', async (t) => {
  const tenant = service.tenant()
  const secret = `whsec_${Buffer.alloc(64, 7).toString('base64')}`
  t.equal((await register(t, tenant, { secret })).secret, secret)
  for (const bytes of [23, 65]) {
    const refused = `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`
    const response = await tenant.post('/api/plugins', {
      name: 'Other',
      webhook_url: WEBHOOK_URL,
      secret: refused,
    })
    t.equal(response.statusCode, 400)
    t.match(response.json(), { errors: [{ pointer: '/secret' }] })
    t.notOk(response.body.includes(refused.slice(6)), 'the answer does not repeat it')
  }
})

t.test('a slug is taken once in a tenant, and other tenants do not matter', async (t) => {
  const tenant = service.tenant()
  await register(t, tenant)
  const again = await tenant.post('/api/plugins', { name: 'Email Marketing', webhook_url: WEBHOOK_URL })
  t.equal(again.statusCode, 409)
  t.equal(again.json<ProblemBody>().code, 'plugin_exists')
  await register(t, service.tenant())
})

t.test('of registrations of one slug at the same moment exactly one succeeds', async (t) => {
  const tenant = service.tenant()
  const responses = await Promise.all(
    Array.from({ length: 8 }, () => tenant.post('/api/plugins', { name: 'Race', webhook_url: WEBHOOK_URL })),
  )
  t.strictSame(responses.map((response) => response.statusCode).sort(), [201, ...Array<number>(7).fill(409)])
  const lanes = await db
    .selectFrom('delivery_lanes')
    .select('plugin_id')
    .where('tenant_id', '=', tenant.id)
    .execute()
  const secrets = await db
    .selectFrom('plugin_secrets')
    .select('id')
    .where('tenant_id', '=', tenant.id)
    .execute()
  t.equal(lanes.length, 1)
  t.equal(secrets.length, 1)
})

t.test('the platform says inactive for paused', async (t) => {
  const plugin = await register(t, service.tenant(), { status: 'inactive' })
  t.match(plugin, { status: 'paused', status_reason: 'manual' })
})

t.test('filters, headers and delivery settings are kept as they were given', async (t) => {
  const fields = {
    slug: 'crm',
    base_url: 'http://127.0.0.1:9/api/v2',
    events: ['*', { event: 'order.created', filter: { field: 'total', operator: 'gt', value: 100 } }],
    headers: { Authorization: 'Bearer 1', 'X-Shop': 'a b', 'api-key': 'k' },
    retry_schedule: [],
    timeout_ms: 1000,
    rate_limit_per_second: 10_000,
    max_in_flight: 1000,
    config: { nested: { list: [1, null, { constructor: 'x', toString: true }] } },
  }
  const plugin = await register(t, service.tenant(), fields)
  t.strictSame(
    { ...plugin, headers: null },
    {
      ...plugin,
      ...fields,
      headers: null,
      effective: { ...plugin.effective, retry_schedule: [], timeout_ms: 1000 },
    },
  )
  t.strictSame(plugin.headers, { authorization: 'Bearer 1', 'x-shop': 'a b', 'api-key': 'k' })
})

t.test('a plain pattern is given back for one whose filter is null', async (t) => {
  const plugin = await register(t, service.tenant(), {
    events: [{ event: 'order.*', filter: null }, { event: 'a' }],
  })
  t.strictSame(plugin.events, ['order.*', 'a'])
})

t.test('intake hears of a new plugin, and it has a lane and an audit entry', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { config: { password: 'hunter2' } })
  t.equal(await subscriptionsVersion(db, tenant.id), 2)
  const lane = await db
    .selectFrom('delivery_lanes')
    .selectAll()
    .where('plugin_id', '=', id)
    .executeTakeFirst()
  t.equal(lane?.tenant_id, tenant.id)
  t.strictSame(await auditOf(db, tenant.id), [
    { action: 'plugin.created', detail: { slug: 'email-marketing', name: 'Email Marketing' } },
  ])
})

t.test('nothing secret is in the database in clear', async (t) => {
  const tenant = service.tenant()
  const { secret } = await register(t, tenant, {
    config: { api_key: 'clear-config' },
    headers: { authorization: 'clear-header' },
  })
  const { rows } = await sql<{ text: string }>`
    select p::text || s::text || l::text as text
    from plugins p join plugin_secrets s on s.plugin_id = p.id join audit_log l on l.tenant_id = p.tenant_id
    where p.tenant_id = ${tenant.id}`.execute(db)
  t.equal(rows.length, 1)
  const hex = (text: string): string => Buffer.from(text).toString('hex')
  for (const clear of ['clear-config', 'clear-header', secret, secret.slice(6)]) {
    t.notOk(rows[0]?.text.includes(clear))
    t.notOk(rows[0]?.text.includes(hex(clear)))
  }
})

t.test('only editors and admins register', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'first' })
  const body = { name: 'Second', webhook_url: WEBHOOK_URL }
  const viewer = await clientOf(service, tenant, 'viewer')
  const plugin = await clientOf(service, tenant, { pluginId: id })
  t.equal((await viewer.post('/api/plugins', body)).statusCode, 403)
  t.equal((await plugin.post('/api/plugins', body)).statusCode, 403)
  const editor = await clientOf(service, tenant, 'editor')
  t.equal((await editor.post('/api/plugins', { ...body, tenant_id: crypto.randomUUID() })).statusCode, 403)
  t.equal((await editor.post('/api/plugins', { ...body, tenant_id: tenant.id })).statusCode, 201)
})
