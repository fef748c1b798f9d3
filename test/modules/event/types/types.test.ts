import { sql } from 'kysely'
import t from 'tap'
import { lowestIdAt } from '#lib/id-range.ts'
import type { EventType } from '#modules/event/types/schemas.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { feedSettled, pluginKey, raiseVersion, subscribe } from '../support.ts'

const service = await startApp(t)
const { app, db } = service

const code = (response: { json: () => unknown }) => (response.json() as { code?: string }).code
const POINTS = {
  description: 'A customer earned points.',
  sample: { points: 10 },
  schema: { points: { type: 'integer', required: true } },
}
const makeStrict = async (tenant: Tenant) => {
  const response = await tenant.patch('/api/tenant', { strict_events: true })
  if (response.statusCode !== 200) throw new Error(response.body)
}

t.test('a type is declared, read, replaced and deleted, and each change is audited', async (t) => {
  const tenant = service.tenant()
  const created = await tenant.put('/api/event-types/loyalty.points_earned', POINTS)
  t.equal(created.statusCode, 201, created.body)
  const expected = {
    name: 'loyalty.points_earned',
    category: 'loyalty',
    source: 'tenant',
    plugin: null,
    description: POINTS.description,
    sample: { points: 10 },
    schema: { type: 'object', properties: { points: { type: 'integer' } }, required: ['points'] },
  }
  t.match(created.json(), expected)
  t.match((await tenant.get('/api/event-types/loyalty.points_earned')).json(), expected)
  const replaced = await tenant.put('/api/event-types/loyalty.points_earned', { description: 'Other' })
  t.equal(replaced.statusCode, 200)
  t.match(replaced.json(), { description: 'Other', sample: null, schema: null })
  t.equal((await tenant.delete('/api/event-types/loyalty.points_earned')).statusCode, 204)
  t.equal((await tenant.get('/api/event-types/loyalty.points_earned')).statusCode, 404)
  t.equal((await tenant.delete('/api/event-types/loyalty.points_earned')).statusCode, 404)
  const audited = await db
    .selectFrom('audit_log')
    .select(['action', 'target_id'])
    .where('tenant_id', '=', tenant.id)
    .orderBy('id')
    .execute()
  t.strictSame(
    audited.map(({ action }) => action),
    ['event_type.created', 'event_type.updated', 'event_type.deleted'],
  )
})

t.test("the platform's names cannot be taken, nor those of a plugin", async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, [])
  await db
    .insertInto('event_types')
    .values({ tenant_id: tenant.id, name: 'mail.opened', plugin_id: plugin.id })
    .execute()
  for (const name of ['product.created', 'mail.opened']) {
    t.equal(code(await tenant.put(`/api/event-types/${name}`, {})), 'event_type_taken', name)
    t.equal(code(await tenant.delete(`/api/event-types/${name}`)), 'event_type_taken', name)
  }
  t.match((await tenant.get('/api/event-types/mail.opened')).json(), {
    source: 'plugin',
    plugin: plugin.slug,
  })
})

t.test(
  'schemas outside of the subset and samples that do not match are refused with a pointer',
  async (t) => {
    const tenant = service.tenant()
    const put = (body: object) => tenant.put('/api/event-types/a.b', body)
    for (const [body, pointer] of [
      [{ schema: { type: 'object', properties: { a: { $ref: '#/x' } } } }, /^\/schema\/properties\/a/],
      [{ schema: { type: 'string', pattern: '(a+)+$' } }, /^\/schema/],
      [{ ...POINTS, sample: { points: 'ten' } }, '/sample/points'],
      [{ sample: { text: 'x'.repeat(70_000) } }, '/sample'],
    ] as const) {
      const response = await put(body)
      t.equal(response.statusCode, 422, response.body)
      t.match(response.json(), { code: 'event_type_invalid', errors: [{ pointer }] })
    }
    t.equal((await tenant.put('/api/event-types/Not.A%20Type', {})).statusCode, 400)
  },
)

t.test('the list holds catalogue and own types, by name, in pages and narrowed', async (t) => {
  const tenant = service.tenant()
  await tenant.put('/api/event-types/loyalty.points_earned', POINTS)
  await service.tenant().put('/api/event-types/foreign.type', {})
  const names: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: { data: { name: string }[]; next_cursor: string | null } = (
      await tenant.get(`/api/event-types?limit=10${cursor === '' ? '' : `&cursor=${cursor}`}`)
    ).json()
    names.push(...page.data.map(({ name }) => name))
    cursor = page.next_cursor
  }
  t.strictSame(names, names.toSorted())
  t.equal(new Set(names).size, names.length)
  t.ok(
    names.includes('loyalty.points_earned') &&
      names.includes('order.paid') &&
      names.includes('plugin.disabled'),
  )
  t.notOk(names.includes('foreign.type'))
  const only = async (query: string) =>
    (await tenant.get(`/api/event-types?${query}`))
      .json<{ data: { name: string }[] }>()
      .data.map(({ name }) => name)
  t.strictSame(await only('category=customer'), ['customer.created', 'customer.updated'])
  t.strictSame(await only('q=POINTS'), ['loyalty.points_earned'])
  t.equal(code(await tenant.get('/api/event-types?cursor=x')), 'invalid_cursor')
})

t.test('data that does not match its type is stored and marked', async (t) => {
  const tenant = service.tenant()
  await tenant.put('/api/event-types/loyalty.points_earned', POINTS)
  const own = await tenant.post('/api/events', { event: 'loyalty.points_earned', data: { points: 'ten' } })
  t.equal(own.statusCode, 202)
  const platform = await tenant.post('/api/events', { event: 'order.created', data: { id: 'o1', status: 5 } })
  const fine = await tenant.post('/api/events', { event: 'loyalty.points_earned', data: { points: 3 } })
  const problemsOf = async (response: typeof own) =>
    (await tenant.get(`/api/events/${response.json<{ id: string }>().id}`)).json<{
      schema_problems?: object[]
    }>().schema_problems
  t.match(await problemsOf(own), [{ pointer: '/data/points', detail: String }])
  t.match(await problemsOf(platform), [{ pointer: '/data/order_id' }, { pointer: '/data/status' }])
  t.equal(await problemsOf(fine), undefined)
  await feedSettled(service)
  t.match((await tenant.get('/api/events')).json(), { data: [{ schema_problems: [{}] }, {}, {}] })
})

t.test('a strict tenant takes known types with matching data only', async (t) => {
  const tenant = service.tenant()
  await tenant.put('/api/event-types/loyalty.points_earned', POINTS)
  t.equal((await tenant.post('/api/events', { event: 'never.heard_of', data: {} })).statusCode, 202)
  await makeStrict(tenant)
  const unknown = await tenant.post('/api/events', { event: 'never.heard_of', data: {} })
  t.equal(unknown.statusCode, 422)
  t.equal(code(unknown), 'event_type_unknown')
  const mismatch = await tenant.post('/api/events', { event: 'loyalty.points_earned', data: { points: 0.5 } })
  t.equal(mismatch.statusCode, 422)
  t.match(mismatch.json(), { code: 'event_schema_mismatch', errors: [{ pointer: '/data/points' }] })
  t.equal(
    (await tenant.post('/api/events', { event: 'loyalty.points_earned', data: { points: 5 } })).statusCode,
    202,
  )
  await tenant.put('/api/event-types/never.heard_of', {})
  t.equal(
    (await tenant.post('/api/events', { event: 'never.heard_of', data: {} })).statusCode,
    202,
    'now declared',
  )
  await tenant.delete('/api/event-types/never.heard_of')
  t.equal((await tenant.post('/api/events', { event: 'never.heard_of', data: {} })).statusCode, 422)
})

t.test("a plugin's key publishes what its plugin declared, and nothing of anybody else's", async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, [])
  await subscribe(service, tenant.id, ['mail.*'])
  await db
    .insertInto('event_types')
    .values({ tenant_id: tenant.id, name: 'mail.opened', plugin_id: plugin.id })
    .execute()
  await raiseVersion(db, tenant.id)
  const asPlugin = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
  const own = await asPlugin.post('/api/events', { event: 'mail.opened', data: {} })
  t.equal(own.statusCode, 202, own.body)
  t.match(own.json(), { deliveries: 1 })
  t.match(await db.selectFrom('events').selectAll().where('tenant_id', '=', tenant.id).execute(), [
    { source: 'plugin', publisher_plugin_id: plugin.id },
  ])
  await tenant.put('/api/event-types/till.opened', {})
  const other = await subscribe(service, tenant.id, [], `chat-${tenant.id.slice(0, 8)}`)
  const theirs = `${other.slug.replaceAll('-', '_')}.said`
  for (const event of ['order.created', 'order.wrapped', 'plugin.disabled', 'till.opened', theirs]) {
    const response = await asPlugin.post('/api/events', { event, data: {} })
    t.equal(response.statusCode, 403)
    t.equal(code(response), 'event_type_forbidden')
  }
  const inlet = { event_type: 'mail.opened', payload: {}, id: 'o1', sent_by: 'us' }
  t.match((await asPlugin.post('/plugins/automation/webhook', inlet)).json(), { duplicate: false })
  t.match((await asPlugin.post('/plugins/automation/webhook', inlet)).json(), { duplicate: true })
  const foreign = { ...inlet, tenant_id: service.tenant().id }
  t.equal(code(await asPlugin.post('/plugins/automation/webhook', foreign)), 'tenant_mismatch')
  const named = { ...inlet, tenant_id: 'tenant_123' }
  t.match((await asPlugin.post('/plugins/automation/webhook', named)).json(), {
    code: 'invalid_request',
    errors: [{ pointer: '/tenant_id' }],
  })
})

const EMAIL_SENT = { event_type: 'email.sent', payload: { customer_id: '123', email_id: '456' } }

t.test('a plugin that publishes what nobody owns in a lenient shop has it, declared or not', async (t) => {
  const tenant = service.tenant()
  const first = await subscribe(service, tenant.id, [])
  const second = await subscribe(service, tenant.id, [])
  const asFirst = clientFor(app, tenant.id, await pluginKey(service, tenant.id, first))
  const asSecond = clientFor(app, tenant.id, await pluginKey(service, tenant.id, second))
  t.equal((await asFirst.post('/plugins/automation/webhook', EMAIL_SENT)).statusCode, 202)
  t.equal(code(await asSecond.post('/api/events', { event: 'email.sent', data: {} })), 'event_type_forbidden')
  t.match((await tenant.get('/api/event-types/email.sent')).json(), {
    name: 'email.sent',
    category: 'email',
    source: 'seen',
    plugin: first.slug,
    sample: { customer_id: '1', email_id: '1' },
    schema: null,
    created_at: String,
  })
  await makeStrict(tenant)
  t.equal(code(await asFirst.post('/plugins/automation/webhook', EMAIL_SENT)), 'event_type_forbidden')
  t.equal(code(await tenant.post('/plugins/automation/webhook', EMAIL_SENT)), 'event_type_unknown')
  await tenant.patch('/api/tenant', { strict_events: false })
  const capabilities = { triggers: [{ id: 'sent', name: 'Sent', event_types: ['email.sent'] }] }
  const manifest = { name: 'First', slug: first.slug, version: '1.0.0', capabilities }
  const put = await tenant.put(`/api/plugins/${first.slug}/manifest`, manifest)
  t.equal(put.statusCode, 200, put.body)
  t.equal((await asFirst.post('/plugins/automation/webhook', EMAIL_SENT)).statusCode, 202)
  t.equal(code(await asSecond.post('/api/events', { event: 'email.sent', data: {} })), 'event_type_forbidden')
  t.match((await tenant.get('/api/event-types/email.sent')).json(), {
    source: 'plugin',
    plugin: first.slug,
  })
  t.match((await tenant.get('/api/event-types?source=seen')).json(), { data: [] })
})

t.test("what came undeclared is seen, becomes the shop's own by PUT, and goes by DELETE", async (t) => {
  const tenant = service.tenant()
  const data = {
    at: '2026-03-01T10:00:00Z',
    to: 'ana@example.com',
    who: { name: 'Ana' },
    by: { 'ana@example.com': 1 },
  }
  const send = () => tenant.post('/api/events', { event: 'shop.visited', data })
  await Promise.all([send(), send(), send()])
  const seen = (await tenant.get('/api/event-types?source=seen')).json<{ data: object[] }>().data
  t.match(seen, [{ name: 'shop.visited', source: 'seen', plugin: null, description: null }])
  t.equal(seen.length, 1)
  t.notMatch(JSON.stringify(seen), /ana/i, 'nothing that was sent, only its shape')
  t.equal((await tenant.delete('/api/event-types/shop.visited')).statusCode, 204)
  t.equal((await tenant.get('/api/event-types/shop.visited')).statusCode, 404)
  await send()
  t.match((await tenant.get('/api/event-types/shop.visited')).json(), { source: 'seen' }, 'and comes again')
  t.equal((await tenant.put('/api/event-types/shop.visited', {})).statusCode, 201)
  t.match((await tenant.get('/api/event-types/shop.visited')).json(), { source: 'tenant' })
  await tenant.delete('/api/event-types/shop.visited')
  t.equal((await tenant.get('/api/event-types/shop.visited')).statusCode, 404)
})

t.test('a shop that invents types without end has its events stored and 200 types catalogued', async (t) => {
  const tenant = service.tenant()
  const events = Array.from({ length: 250 }, (_, index) => ({ event: `visit.no_${index}`, data: {} }))
  const sent = await tenant.post('/api/events', { events })
  t.match(sent.json(), { summary: { accepted: 250, rejected: 0 } })
  await tenant.post('/api/events', { event: 'visit.later', data: {} })
  const { data } = (await tenant.get('/api/event-types?source=seen&limit=200')).json<{ data: object[] }>()
  const rows = await db
    .selectFrom('seen_event_types')
    .select('name')
    .where('tenant_id', '=', tenant.id)
    .execute()
  t.equal(rows.length, 200)
  t.ok(data.length > 0)
})

t.test('a type tells when its events came and who takes them, if it is asked to', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['order.*'])
  await subscribe(service, tenant.id, ['lead.created'])
  const flow = (
    await tenant.post('/api/automation/flows', {
      name: 'Thank',
      status: 'active',
      triggers: [{ type: 'event', event_types: ['order.created'] }],
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'x' } }],
    })
  ).json<{ id: string }>()
  for (let n = 0; n < 3; n++) {
    await tenant.post('/api/events', { event: 'order.created', data: { order_id: `o${n}` } })
  }
  const yesterday = new Date(Date.now() - 2 * 86_400_000).toISOString()
  const old = lowestIdAt(Date.parse(yesterday))
  await sql`
    insert into events (tenant_id, id, fingerprint, event, source, occurred_at, received_at, position, body)
    values (${tenant.id}, ${old}, '', 'order.created', 'api', now(), ${yesterday}, 1, '{}'),
      (${tenant.id}, ${lowestIdAt(Date.parse(yesterday) + 1)}, '', 'order.paid', 'api', now(), ${yesterday}, 1, '{}')`.execute(
    service.db,
  )
  const created = (await tenant.get('/api/event-types/order.created?include=usage')).json<EventType>()
  t.match(created.usage, { events_24h: 3, plugins: [plugin.slug], flows: [{ id: flow.id, name: 'Thank' }] })
  t.ok(String(created.usage?.last_seen_at) > yesterday)
  const { data } = (await tenant.get('/api/event-types?include=usage&category=order')).json<{
    data: EventType[]
  }>()
  const paid = data.find(({ name }) => name === 'order.paid')
  t.strictSame(paid?.usage, {
    last_seen_at: yesterday,
    events_24h: 0,
    plugins: [plugin.slug],
    flows: [],
  })
  t.equal((await tenant.get('/api/event-types/order.created')).json<EventType>().usage, undefined)
  const own = clientFor(service.app, tenant.id, await pluginKey(service, tenant.id, plugin))
  t.match((await own.get('/api/event-types/order.created?include=usage')).json(), {
    usage: { plugins: [plugin.slug], flows: [] },
  })
  t.equal((await tenant.get('/api/event-types?include=all')).statusCode, 400)
})

t.test('a type names whoever takes it by any pattern, each once and up to fifty', async (t) => {
  const tenant = service.tenant()
  const taking = [['*'], ['a.*'], ['a.b.*', 'a.b.c'], ['a.b.c']]
  for (const [index, events] of taking.entries())
    await subscribe(service, tenant.id, events, `takes-${index}`)
  for (const [index, events] of [['a.b'], ['a.b.c.*'], ['ab.*'], ['a.b.d']].entries())
    await subscribe(service, tenant.id, events, `not-${index}`)
  await tenant.put('/api/event-types/a.b.c', { description: 'x' })
  await tenant.post('/api/events', {
    events: Array.from({ length: 1_000 }, (_, n) => ({ event: 'a.b.c', data: { n } })),
  })
  await tenant.post('/api/events', { event: 'a.b.c', data: {} })
  const usage = async () => (await tenant.get('/api/event-types/a.b.c?include=usage')).json<EventType>().usage
  t.match(await usage(), { events_24h: 1_000, plugins: ['takes-0', 'takes-1', 'takes-2', 'takes-3'] })
  for (let n = 0; n < 60; n++) await subscribe(service, tenant.id, ['a.b.c'], `many-${n}`)
  t.equal((await usage())?.plugins.length, 50)
})
