import { randomUUID } from 'node:crypto'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { raiseVersion, subscribe } from '../support.ts'

const service = await startApp(t)
const { db } = service

const ORDER = { event: 'shop.order_placed', data: { id: 7, note: 'two "apples"\nand a pear' } }

const storedEvents = (tenantId: string) =>
  db.selectFrom('events').selectAll().where('tenant_id', '=', tenantId).orderBy('id').execute()
const deliveriesOf = (tenantId: string) =>
  db.selectFrom('deliveries').selectAll().where('tenant_id', '=', tenantId).execute()

t.test('an event is stored with one pending delivery for each subscribed plugin', async (t) => {
  const tenant = service.tenant()
  const exact = await subscribe(service, tenant.id, ['shop.order_placed'])
  const prefix = await subscribe(service, tenant.id, ['shop.*', 'shop.order_placed'])
  await subscribe(service, tenant.id, ['shop'])
  await subscribe(service, randomUUID(), ['*'])

  const response = await tenant.post('/api/events', ORDER)
  t.equal(response.statusCode, 202)
  const answer = response.json<{ id: string }>()
  t.match(answer, { source_id: null, event: ORDER.event, duplicate: false, deliveries: 2 })
  const deliveries = await deliveriesOf(tenant.id)
  t.strictSame(deliveries.map(({ plugin_id }) => plugin_id).sort(), [exact.id, prefix.id].sort())
  for (const delivery of deliveries) {
    t.match(delivery, { event_id: answer.id, event: ORDER.event, status: 'pending', attempt_count: 0 })
    t.ok(delivery.due_at)
  }
})

t.test('the body is the text that attempts will send, with every number as it came', async (t) => {
  const tenant = service.tenant()
  const data = '{"big":12345678901234567890,"exact":0.1000000000000000055511151231257827,"text":"ü\\u2028"}'
  const timestamp = '2026-03-01T10:00:00.123456+01:00'
  const response = await tenant.post(
    '/api/events',
    `{"event":"shop.counted","data":${data},"timestamp":"${timestamp}"}`,
  )
  t.equal(response.statusCode, 202)
  const [event] = await storedEvents(tenant.id)
  t.equal(
    event?.body,
    `{"event":"shop.counted","tenant_id":"${tenant.id}","timestamp":"${timestamp}","data":${data}}`,
  )
  t.equal(event?.occurred_at.toISOString(), '2026-03-01T09:00:00.123Z')
})

t.test('an event without a timestamp happened now', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/events', ORDER)
  const [event] = await storedEvents(tenant.id)
  const body = JSON.parse(event?.body ?? '') as { timestamp: string }
  t.equal(new Date(body.timestamp).getTime(), event?.occurred_at.getTime())
  t.ok(Math.abs(Date.now() - new Date(body.timestamp).getTime()) < 60_000)
})

t.test('the same id again answers with the first result and stores nothing', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  const first = await tenant.post('/api/events', { ...ORDER, id: 'order 7' })
  const again = await tenant.post('/api/events', {
    id: 'order 7',
    data: { note: ORDER.data.note, id: 7 },
    event: ORDER.event,
  })
  t.equal(again.statusCode, 202)
  t.strictSame(again.json(), { ...first.json<object>(), duplicate: true })
  t.equal((await storedEvents(tenant.id)).length, 1)
  t.equal((await deliveriesOf(tenant.id)).length, 1)
})

t.test('the same id with other contents is a conflict', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/events', { ...ORDER, id: 'x' })
  for (const other of [
    { ...ORDER, event: 'shop.order_paid' },
    { ...ORDER, data: { ...ORDER.data, id: 8 } },
  ]) {
    const response = await tenant.post('/api/events', { ...other, id: 'x' })
    t.equal(response.statusCode, 409)
    t.equal(response.json<{ code: string }>().code, 'event_conflict')
  }
  t.equal((await storedEvents(tenant.id)).length, 1)
})

t.test('the same id with another time is the same event', async (t) => {
  const tenant = service.tenant()
  const first = await tenant.post('/api/events', { ...ORDER, id: 'x', timestamp: '2026-03-01T10:00:00Z' })
  for (const time of [{ timestamp: '2026-03-01T10:00:01Z' }, {}]) {
    const again = await tenant.post('/api/events', { ...ORDER, id: 'x', ...time })
    t.equal(again.statusCode, 202)
    t.strictSame(again.json(), { ...first.json<object>(), duplicate: true })
  }
  t.equal((await storedEvents(tenant.id)).length, 1)
})

t.test('an id belongs to its tenant alone', async (t) => {
  const [one, other] = [service.tenant(), service.tenant()]
  t.match((await one.post('/api/events', { ...ORDER, id: 'x' })).json(), { duplicate: false })
  t.match((await other.post('/api/events', { ...ORDER, id: 'x', data: {} })).json(), { duplicate: false })
})

t.test('Idempotency-Key stands for the id, and an id of the body goes before it', async (t) => {
  const tenant = service.tenant()
  const headers = { 'idempotency-key': 'key-1' }
  t.match((await tenant.post('/api/events', ORDER, headers)).json(), { source_id: 'key-1', duplicate: false })
  t.match((await tenant.post('/api/events', ORDER, headers)).json(), { source_id: 'key-1', duplicate: true })
  t.match((await tenant.post('/api/events', { ...ORDER, id: 'mine' }, headers)).json(), { source_id: 'mine' })
  const long = await tenant.post('/api/events', ORDER, { 'idempotency-key': 'k'.repeat(256) })
  t.equal(long.statusCode, 400)
  t.match(long.json(), { errors: [{ pointer: '/headers/idempotency-key' }] })
})

t.test('one id sent many times at once is stored once', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  const responses = await Promise.all(
    Array.from({ length: 40 }, () => tenant.post('/api/events', { ...ORDER, id: 'same' })),
  )
  const answers = responses.map((response) => response.json<{ id: string; duplicate: boolean }>())
  t.equal(new Set(answers.map(({ id }) => id)).size, 1)
  t.equal(answers.filter(({ duplicate }) => !duplicate).length, 1)
  t.equal((await deliveriesOf(tenant.id)).length, 1)
})

t.test('concurrent events of many tenants all arrive, each with its own deliveries', async (t) => {
  const tenants = Array.from({ length: 10 }, () => service.tenant())
  for (const tenant of tenants) await subscribe(service, tenant.id, ['shop.*'])
  await Promise.all(
    tenants.flatMap((tenant) =>
      Array.from({ length: 20 }, (_, id) =>
        tenant.post('/api/events', { ...ORDER, id: `e-${id}`, data: { owner: tenant.id } }),
      ),
    ),
  )
  for (const tenant of tenants) {
    const events = await storedEvents(tenant.id)
    t.equal(events.length, 20)
    t.ok(events.every(({ body }) => body?.includes(`"owner":"${tenant.id}"`)))
    t.equal((await deliveriesOf(tenant.id)).length, 20)
  }
})

t.test('a plugin registered between two events gets the second, whatever was remembered', async (t) => {
  const tenant = service.tenant()
  t.match((await tenant.post('/api/events', ORDER)).json(), { deliveries: 0 })
  for (let plugins = 1; plugins <= 5; plugins++) {
    await subscribe(service, tenant.id, ['*'])
    const responses = await Promise.all([1, 2, 3].map(() => tenant.post('/api/events', ORDER)))
    for (const response of responses) t.match(response.json(), { deliveries: plugins })
  }
})

t.test('a deleted plugin gets nothing more, a paused or disabled one keeps its place', async (t) => {
  const tenant = service.tenant()
  const [paused, deleted] = [
    await subscribe(service, tenant.id, ['*']),
    await subscribe(service, tenant.id, ['*']),
  ]
  await db.updateTable('plugins').set({ status: 'paused' }).where('id', '=', paused.id).execute()
  await db.updateTable('plugins').set({ deleted_at: new Date() }).where('id', '=', deleted.id).execute()
  await raiseVersion(db, tenant.id)
  t.match((await tenant.post('/api/events', ORDER)).json(), { deliveries: 1 })
  t.match(await deliveriesOf(tenant.id), [{ plugin_id: paused.id, status: 'pending' }])
})

t.test('a filter decides by the data which events a plugin gets', async (t) => {
  const tenant = service.tenant()
  const filter = { field: 'total', operator: 'gt', value: 100 }
  const plugin = await subscribe(service, tenant.id, [{ event: 'shop.*', filter }])
  t.match((await tenant.post('/api/events', { event: 'shop.sold', data: { total: 101 } })).json(), {
    deliveries: 1,
  })
  t.match((await tenant.post('/api/events', { event: 'shop.sold', data: { total: 99 } })).json(), {
    deliveries: 0,
  })
  t.match((await tenant.post('/api/events', { event: 'shop.sold', data: {} })).json(), { deliveries: 0 })
  t.match(await deliveriesOf(tenant.id), [{ plugin_id: plugin.id }])
})

t.test('a single event that is malformed is refused with every field that is wrong', async (t) => {
  const tenant = service.tenant()
  const response = await tenant.post('/api/events', {
    event: 'Product.Created',
    data: [],
    id: '',
    timestamp: '2026-02-30T10:00:00Z',
    extra: 1,
  })
  t.equal(response.statusCode, 400)
  const { errors } = response.json<{ errors: { pointer: string }[] }>()
  t.strictSame(errors.map(({ pointer }) => pointer).sort(), [
    '/data',
    '/event',
    '/extra',
    '/id',
    '/timestamp',
  ])
  for (const timestamp of ['1969-12-31T23:59:59Z', '2026-03-01 10:00:00Z', '2026-03-01T10:00:00', 'now']) {
    t.equal((await tenant.post('/api/events', { ...ORDER, timestamp })).statusCode, 400, timestamp)
  }
  for (const data of ['text', 7, null, '12345678901234567890']) {
    const body = `{"event":"a.b","data":${data === '12345678901234567890' ? data : JSON.stringify(data)}}`
    t.equal((await tenant.post('/api/events', body)).statusCode, 400, body)
  }
  t.equal((await storedEvents(tenant.id)).length, 0)
})

t.test('an event of more than 1 MiB is refused', async (t) => {
  const tenant = service.tenant()
  const response = await tenant.post('/api/events', { event: 'a.b', data: { text: 'x'.repeat(1024 * 1024) } })
  t.equal(response.statusCode, 413)
  t.equal(response.json<{ code: string }>().code, 'event_too_large')
  const fits = await tenant.post('/api/events', {
    event: 'a.b',
    data: { text: 'x'.repeat(1024 * 1024 - 200) },
  })
  t.equal(fits.statusCode, 202)
})

t.test("the platform's webhook is the same intake", async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['lead.*'])
  const response = await tenant.post('/plugins/automation/webhook', {
    event_type: 'lead.created',
    payload: { lead_id: 'l1', status: 'new' },
    tenant_id: tenant.id,
    timestamp: '2026-03-01T10:00:00Z',
  })
  t.equal(response.statusCode, 202)
  t.match(response.json(), { event: 'lead.created', duplicate: false, deliveries: 1 })
  t.match(await storedEvents(tenant.id), [{ source: 'platform', schema_problems: null }])
  const malformed = await tenant.post('/plugins/automation/webhook', { event: 'lead.created', payload: {} })
  t.match(malformed.json(), {
    code: 'invalid_request',
    errors: [{ pointer: '/event_type', detail: 'is required' }],
  })
})

t.test('a tenant that nobody knew gets its row with its first event', async (t) => {
  const tenantId = randomUUID()
  const response = await service.app.inject({
    method: 'POST',
    url: '/api/events',
    headers: { authorization: `Bearer ${service.config.platformKey ?? ''}` },
    payload: { ...ORDER, tenant_id: tenantId },
  })
  t.equal(response.statusCode, 202)
  t.ok(await db.selectFrom('tenants').select('id').where('id', '=', tenantId).executeTakeFirst())
})
