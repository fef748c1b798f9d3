import t from 'tap'
import { sql } from 'kysely'
import { parseSecret } from '../../../src/lib/signature.ts'
import { startApp } from '../../support/app.ts'
import {
  auditOf,
  clientOf,
  type PluginBody,
  type ProblemBody,
  register,
  subscriptionsVersion,
  WEBHOOK_URL,
} from './plugins.ts'

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

const DEEP_CONDITION = Array.from({ length: 12 }).reduce<unknown>((inner) => ({ all: [inner] }), {
  field: 'a',
  operator: 'exists',
})

/** What is wrong, and the pointer that must name it. */
const HOSTILE: readonly [Record<string, unknown> | string, string][] = [
  [{ name: undefined }, '/name'],
  [{ name: 7 }, '/name'],
  [{ name: '' }, '/name'],
  [{ name: '  \t' }, '/name'],
  [{ name: 'a'.repeat(201) }, '/name'],
  [{ webhook_url: undefined }, '/webhook_url'],
  [{ webhook_url: null }, '/webhook_url'],
  [{ webhook_url: ['https://a.example'] }, '/webhook_url'],
  [{ webhook_url: ` ${WEBHOOK_URL}` }, '/webhook_url'],
  [{ webhook_url: 'http://127.0.0.1:9/a\tb' }, '/webhook_url'],
  [{ webhook_url: `${WEBHOOK_URL}#top` }, '/webhook_url'],
  [{ webhook_url: `${WEBHOOK_URL}/${'a'.repeat(2048)}` }, '/webhook_url'],
  [{ base_url: `${WEBHOOK_URL}?a=1` }, '/base_url'],
  [{ base_url: {} }, '/base_url'],
  [{ slug: 'actions' }, '/slug'],
  [{ slug: 'events' }, '/slug'],
  [{ slug: 'Upper' }, '/slug'],
  [{ slug: '-a' }, '/slug'],
  [{ slug: '' }, '/slug'],
  [{ slug: 'a/b' }, '/slug'],
  [{ slug: 'a'.repeat(64) }, '/slug'],
  [{ slug: '3b241101-e2bb-4255-8caf-4136c566a962' }, '/slug'],
  [{ description: 1 }, '/description'],
  [{ description: 'a'.repeat(2001) }, '/description'],
  [{ status: 'gone' }, '/status'],
  [{ status: null }, '/status'],
  [{ events: 'order.*' }, '/events'],
  [{ events: [7] }, '/events/0'],
  [{ events: ['order.*', 'Order.created'] }, '/events/1'],
  [{ events: ['order.*.created'] }, '/events/0'],
  [{ events: [{ event: 'order..x' }] }, '/events/0/event'],
  [{ events: [{ event: 'order.x', extra: 1 }] }, '/events/0/extra'],
  [{ events: ['order.*', 'order.*'] }, '/events/1'],
  [{ events: ['order.*', { event: 'order.*', filter: null }] }, '/events/1'],
  [{ events: Array.from({ length: 101 }, (_, index) => `e.t${index}`) }, '/events'],
  [{ events: [{ event: 'a', filter: {} }] }, '/events/0/filter/field'],
  [{ events: [{ event: 'a', filter: 'total > 1' }] }, '/events/0/filter'],
  [
    { events: [{ event: 'a', filter: { field: 'b', operator: 'matches', value: '(a+)+$' } }] },
    '/events/0/filter/operator',
  ],
  [
    { events: [{ event: 'a', filter: { field: 'b', operator: 'equals', value: '{{ trigger.c }}' } }] },
    '/events/0/filter/value',
  ],
  [{ events: [{ event: 'a', filter: DEEP_CONDITION }] }, `/events/0/filter${'/all/0'.repeat(5)}/all`],
  [
    '{"events":[{"event":"a","filter":{"field":"b","operator":"gt","value":9007199254740993}}]}',
    '/events/0/filter/value',
  ],
  [{ config: [] }, '/config'],
  [{ config: 'api_key=1' }, '/config'],
  [{ config: { blob: 'a'.repeat(65 * 1024) } }, '/config'],
  [{ config: { a: { b: ['[redacted]'] } } }, '/config/a/b/0'],
  ['{"config":{"a/b":1e400}}', '/config/a~1b'],
  [{ metadata: 7 }, '/metadata'],
  [{ metadata: { blob: 'ü'.repeat(8 * 1024) } }, '/metadata'],
  ['{"metadata":{"n":[12345678901234567890]}}', '/metadata/n/0'],
  [{ headers: { 'content-type': 'text/plain' } }, '/headers/content-type'],
  [{ headers: { Host: 'a' } }, '/headers/Host'],
  [{ headers: { 'webhook-id': 'a' } }, '/headers/webhook-id'],
  [{ headers: { 'webhook-api-key': 'a' } }, '/headers/webhook-api-key'],
  [{ headers: { connection: 'close' } }, '/headers/connection'],
  [{ headers: { constructor: 'a' } }, '/headers/constructor'],
  [{ headers: { 'x-a\r\nx-b': 'a' } }, '/headers/x-a\r\nx-b'],
  [{ headers: { 'x-a': 'b\r\nx-c: d' } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'ü' } }, '/headers/x-a'],
  [{ headers: { 'x-a': '' } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'a'.repeat(1025) } }, '/headers/x-a'],
  [{ headers: { 'x-a': 1 } }, '/headers/x-a'],
  [{ headers: { 'x-a': 'a', 'X-A': 'b' } }, '/headers/X-A'],
  [{ headers: { 'x-a': '[redacted]' } }, '/headers/x-a'],
  [
    { headers: Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`x-${index}`, 'a'])) },
    '/headers',
  ],
  [{ retry_schedule: [0] }, '/retry_schedule/0'],
  [{ retry_schedule: [1.5] }, '/retry_schedule/0'],
  [{ retry_schedule: ['30'] }, '/retry_schedule/0'],
  [{ retry_schedule: [604_801] }, '/retry_schedule/0'],
  [{ retry_schedule: Array<number>(21).fill(1) }, '/retry_schedule'],
  [{ timeout_ms: 999 }, '/timeout_ms'],
  [{ timeout_ms: '5000' }, '/timeout_ms'],
  [{ timeout_ms: true }, '/timeout_ms'],
  ['{"timeout_ms":1e400}', '/timeout_ms'],
  [{ rate_limit_per_second: 0 }, '/rate_limit_per_second'],
  [{ max_in_flight: 1001 }, '/max_in_flight'],
  [{ secret: 'whsec_short' }, '/secret'],
  [{ secret: 'a'.repeat(129) }, '/secret'],
  [{ tenant_id: 'mine' }, '/tenant_id'],
  [{ constructor: {} }, '/constructor'],
  [{ is_admin: true }, '/is_admin'],
  ['{"__proto__":{"status":"active"}}', '/__proto__'],
]

t.test('what is wrong is named by pointer, and nothing is stored', async (t) => {
  const tenant = service.tenant()
  for (const [fields, pointer] of HOSTILE) {
    const base = { name: 'Hostile', webhook_url: WEBHOOK_URL }
    const body =
      typeof fields === 'string'
        ? `{"name":"Hostile","webhook_url":"${WEBHOOK_URL}",${fields.slice(1)}`
        : { ...base, ...fields }
    const response = await tenant.post('/api/plugins', body)
    const label = `${JSON.stringify(fields).slice(0, 80)}: ${response.body.slice(0, 300)}`
    t.equal(response.statusCode, 400, label)
    t.ok(
      response.json<ProblemBody>().errors?.some((error) => error.pointer === pointer),
      label,
    )
  }
  for (const body of ['', '[]', 'null', '"text"', '{"name":', '7']) {
    t.equal((await tenant.post('/api/plugins', body)).statusCode, 400, body)
  }
  for (const table of ['plugins', 'plugin_secrets', 'delivery_lanes', 'audit_log'] as const) {
    const rows = await db.selectFrom(table).select('tenant_id').where('tenant_id', '=', tenant.id).execute()
    t.strictSame(rows, [], table)
  }
})

t.test('a URL that may not be called is refused with its field', async (t) => {
  const tenant = service.tenant()
  const refused = async (fields: Record<string, unknown>, pointer: string, detail: RegExp): Promise<void> => {
    const response = await tenant.post('/api/plugins', { name: 'X', webhook_url: WEBHOOK_URL, ...fields })
    t.equal(response.statusCode, 422, response.body)
    t.match(response.json(), { code: 'webhook_url_refused', errors: [{ pointer, detail }] })
  }
  await refused({ webhook_url: 'http://10.0.0.1/hook' }, '/webhook_url', /not a public address/)
  await refused({ webhook_url: 'http://[::ffff:169.254.169.254]/' }, '/webhook_url', /not a public address/)
  await refused({ webhook_url: 'http://0x0a000001/' }, '/webhook_url', /not a public address/)
  await refused({ webhook_url: 'ftp://plugin.example/' }, '/webhook_url', /http/)
  await refused({ webhook_url: 'plugin.example/webhooks' }, '/webhook_url', /URL/)
  await refused({ webhook_url: 'https://user:pass@plugin.example/' }, '/webhook_url', /user name/)
  await refused({ base_url: 'http://192.168.1.1' }, '/base_url', /not a public address/)
})

t.test('with HTTPS_ONLY an http URL is refused', async (t) => {
  const strict = await startApp(t, { env: { HTTPS_ONLY: 'true' } })
  const response = await strict.tenant().post('/api/plugins', { name: 'X', webhook_url: WEBHOOK_URL })
  t.equal(response.statusCode, 422)
  t.match(response.json(), {
    code: 'webhook_url_refused',
    errors: [{ pointer: '/webhook_url', detail: /https/ }],
  })
})
