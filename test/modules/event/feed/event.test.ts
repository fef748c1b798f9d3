import { randomUUID } from 'node:crypto'
import t from 'tap'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { feedSettled, pluginKey, raiseVersion, subscribe } from '../support.ts'

const service = await startApp(t)
const { app, db } = service

const send = async (tenant: Tenant, body: object = {}) =>
  (await tenant.post('/api/events', { event: 'a.b', data: { n: 1 }, ...body })).json<{ id: string }>()
const code = (response: { json: () => unknown }) => (response.json() as { code: string }).code

t.test('an event is read by its id or by the caller’s own, with its deliveries', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'])
  const { id } = await send(tenant, { id: 'shop/7 ü', timestamp: '2026-03-01T10:00:00+01:00' })
  const expected = {
    id,
    source_id: 'shop/7 ü',
    event: 'a.b',
    source: 'api',
    timestamp: '2026-03-01T10:00:00+01:00',
    data: { n: 1 },
    deliveries: [{ plugin: plugin.slug, status: 'pending', reason: null, attempt_count: 0 }],
  }
  t.match((await tenant.get(`/api/events/${id}`)).json(), expected)
  t.match((await tenant.get(`/api/events/${encodeURIComponent('shop/7 ü')}`)).json(), expected)
})

t.test('a delivery says why it waits', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'])
  const { id } = await send(tenant)
  const reason = async () =>
    (await tenant.get(`/api/events/${id}`)).json<{ deliveries: { reason: string | null }[] }>().deliveries[0]
      ?.reason
  await db.updateTable('plugins').set({ status: 'paused' }).where('id', '=', plugin.id).execute()
  t.equal(await reason(), 'plugin_paused')
  await db.updateTable('plugins').set({ status: 'active' }).where('id', '=', plugin.id).execute()
  await db
    .updateTable('delivery_lanes')
    .set({ hold_until: new Date(Date.now() + 60_000), hold_reason: 'breaker_open' })
    .where('plugin_id', '=', plugin.id)
    .execute()
  t.equal(await reason(), 'breaker_open')
})

t.test('unknown events and those of others are the same 404', async (t) => {
  const [one, other] = [service.tenant(), service.tenant()]
  const { id } = await send(one, { id: 'mine' })
  for (const path of [id, 'mine', randomUUID(), 'nothing']) {
    for (const response of [
      await other.get(`/api/events/${path}`),
      await other.post(`/api/events/${path}/replay`, {}),
    ]) {
      t.equal(response.statusCode, 404)
      t.equal(code(response), 'event_not_found')
      t.notMatch(response.body, path)
    }
  }
})

t.test('an event whose body was aged out says so', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  const { id } = await send(tenant)
  await db.updateTable('events').set({ body: null, body_gone: 'expired' }).where('id', '=', id).execute()
  const event = (await tenant.get(`/api/events/${id}`)).json<object>()
  t.match(event, { id, body_gone: 'expired' })
  t.notOk('data' in event)
  await feedSettled(service)
  t.match((await tenant.get('/api/events')).json(), { data: [{ id, body_gone: 'expired' }] })
  const replay = await tenant.post(`/api/events/${id}/replay`)
  t.equal(replay.statusCode, 409)
  t.equal(code(replay), 'event_body_gone')
})

t.test('a replay queues what ended again, hastens what waits and adds what never was', async (t) => {
  const tenant = service.tenant()
  const [sent, failed, waiting] = [
    await subscribe(service, tenant.id, ['*']),
    await subscribe(service, tenant.id, ['*']),
    await subscribe(service, tenant.id, ['*']),
  ]
  const { id } = await send(tenant)
  const set = (pluginId: string, values: object) =>
    db.updateTable('deliveries').set(values).where('plugin_id', '=', pluginId).execute()
  await set(sent.id, { status: 'sent', due_at: null, sent_at: new Date(), attempt_count: 1 })
  await set(failed.id, {
    status: 'failed',
    due_at: null,
    reason: 'exhausted',
    round_failures: 4,
    attempt_count: 4,
  })
  const later = new Date(Date.now() + 3_600_000)
  await set(waiting.id, { status: 'retry', due_at: later, round_failures: 2, attempt_count: 2 })
  const added = await subscribe(service, tenant.id, ['a.*'])
  await subscribe(service, tenant.id, ['other.*'])

  const woken: string[] = []
  const unsubscribe = app.signals.subscribe('deliveries_due', (ids) => void woken.push(...ids))
  const response = await tenant.post(`/api/events/${id}/replay`)
  unsubscribe()
  t.equal(response.statusCode, 202)
  const plugins = [sent, failed, waiting, added]
  t.match(response.json(), { event_id: id, deliveries: 4, plugins: plugins.map(({ slug }) => slug).sort() })
  t.strictSame(woken.sort(), plugins.map((plugin) => plugin.id).sort())

  const rows = await db.selectFrom('deliveries').selectAll().where('event_id', '=', id).execute()
  const row = (pluginId: string) =>
    rows.find(({ plugin_id, resend }) => plugin_id === pluginId && resend === 0)
  t.equal(rows.length, 5)
  t.match(row(sent.id), { status: 'sent', attempt_count: 1, sent_at: Date, resend: 0 })
  const due = rows.filter(({ id }) => id !== row(sent.id)?.id)
  t.ok(due.every(({ due_at }) => due_at !== null && due_at.getTime() <= Date.now() + 1_000))
  t.match(
    rows.find(({ resend }) => resend === 1),
    { plugin_id: sent.id, status: 'pending', reason: 'replay', attempt_count: 0, sent_at: null },
    'what was sent stays so',
  )
  t.match(row(failed.id), { status: 'pending', reason: 'replay', round_failures: 0, attempt_count: 4 })
  t.match(row(waiting.id), { status: 'retry', reason: null, round_failures: 2 })
  t.match(row(added.id), { status: 'pending', reason: 'replay' })
  t.match(await db.selectFrom('audit_log').selectAll().where('tenant_id', '=', tenant.id).execute(), [
    { action: 'event.replayed', target_id: id },
  ])
})

t.test('a replay to one plugin leaves the others alone', async (t) => {
  const tenant = service.tenant()
  const [one, other] = [
    await subscribe(service, tenant.id, ['*']),
    await subscribe(service, tenant.id, ['*']),
  ]
  const { id } = await send(tenant)
  await db
    .updateTable('deliveries')
    .set({ status: 'sent', due_at: null })
    .where('event_id', '=', id)
    .execute()
  for (const plugin of [one.slug, one.id]) {
    t.match((await tenant.post(`/api/events/${id}/replay`, { plugin })).json(), { plugins: [one.slug] })
  }
  const rows = await db
    .selectFrom('deliveries')
    .select(['plugin_id', 'status'])
    .where('event_id', '=', id)
    .execute()
  t.equal(rows.find(({ plugin_id }) => plugin_id === other.id)?.status, 'sent')

  await db.updateTable('plugins').set({ subscriptions: '[]' }).where('id', '=', other.id).execute()
  await raiseVersion(db, tenant.id)
  for (const plugin of [other.slug, 'nobody']) {
    const response = await tenant.post(`/api/events/${id}/replay`, { plugin })
    t.equal(response.statusCode, 409)
    t.equal(code(response), 'plugin_not_subscribed')
  }
})

t.test(
  "a plugin's key sees an event that went to it, with that delivery alone, and replays it to itself",
  async (t) => {
    const tenant = service.tenant()
    const [plugin, other] = [
      await subscribe(service, tenant.id, ['a.*']),
      await subscribe(service, tenant.id, ['*']),
    ]
    const asPlugin = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
    const mine = await send(tenant)
    const others = await send(tenant, { event: 'b.c' })
    const event = (await asPlugin.get(`/api/events/${mine.id}`)).json<{ deliveries: { plugin: string }[] }>()
    t.strictSame(
      event.deliveries.map((delivery) => delivery.plugin),
      [plugin.slug],
    )
    t.not(plugin.slug, other.slug)
    t.equal((await asPlugin.get(`/api/events/${others.id}`)).statusCode, 404)
    const replayed = await asPlugin.post(`/api/events/${mine.id}/replay`)
    t.match(replayed.json(), { deliveries: 1, plugins: [plugin.slug] }, 'to itself alone')
  },
)

t.test("an event's deliveries come page by page", async (t) => {
  const tenant = service.tenant()
  const plugins = []
  for (let count = 0; count < 5; count++) plugins.push(await subscribe(service, tenant.id, ['a.*']))
  const { id } = (await tenant.post('/api/events', { event: 'a.b', data: {} })).json<{ id: string }>()
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const after: string = cursor === null ? '' : `&cursor=${cursor}`
    const page = (await tenant.get(`/api/events/${id}?limit=2${after}`)).json<{
      deliveries: { plugin: string }[]
      next_cursor: string | null
    }>()
    t.ok(page.deliveries.length <= 2)
    seen.push(...page.deliveries.map(({ plugin }) => plugin))
    cursor = page.next_cursor
  } while (cursor !== null)
  t.strictSame(seen.toSorted(), plugins.map(({ slug }) => slug).toSorted())
  t.match((await tenant.get(`/api/events/${id}?cursor=x`)).json(), { code: 'invalid_cursor' })
})
