import type { AddressInfo } from 'node:net'
import t from 'tap'
import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import { startApp, TEST_PLATFORM_KEY, type Tenant } from '#test/support/app.ts'
import { deliverDue, deliveriesOf, registerPlugin, sendEvent, sendEvents } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { clientOf } from '#test/modules/plugin/support.ts'

const service = await startApp(t)
const { db } = service

const eventsOf = async (tenant: Tenant) =>
  db
    .selectFrom('events')
    .select(['id', 'event', 'causation_depth'])
    .where('tenant_id', '=', tenant.id)
    .orderBy('id')
    .execute()

t.test('a delivery carries which event it is of and how far it is from a person or system', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url)
  const first = await sendEvent(tenant)
  const causation = { id: first, depth: 3 }
  const sent = await tenant.post('/api/events', { event: 'order.created', data: {}, causation })
  const second = sent.json<{ id: string }>().id
  await deliverDue(service, tenant)
  const headers = receiver.received.map((each) => [
    each.headers['x-causation-id'],
    each.headers['x-causation-depth'],
  ])
  t.strictSame(headers, [
    [first, '1'],
    [second, '4'],
  ])
  await tenant.post(`/api/plugins/${slug}/test`)
  t.match(receiver.received.at(-1)?.headers, { 'x-causation-depth': '1', 'x-causation-id': undefined })
})

t.test('a plugin that hands every event back as another one comes to an end', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, { events: ['*'] })
  const relay = async (): Promise<void> => {
    for (const { headers } of receiver.received.splice(0)) {
      const response = await tenant.post(
        '/api/events',
        { event: 'order.echoed', data: {} },
        {
          'x-causation-id': String(headers['x-causation-id']),
          'x-causation-depth': String(headers['x-causation-depth']),
        },
      )
      t.equal(response.statusCode, 202)
    }
  }
  await sendEvent(tenant)
  for (let turn = 0; turn < 20; turn++) {
    await deliverDue(service, tenant)
    await relay()
  }
  const events = await eventsOf(tenant)
  t.equal(events.length, MAX_CAUSATION_DEPTH + 2)
  const [before, last] = events.slice(-2)
  t.match((await tenant.get(`/api/events/${last?.id}`)).json(), {
    causation: { event_id: before?.id, depth: MAX_CAUSATION_DEPTH + 1, stopped: true },
    deliveries: [],
  })
  t.match((await tenant.get(`/api/events/${before?.id}`)).json(), {
    causation: { depth: MAX_CAUSATION_DEPTH, stopped: undefined },
    deliveries: [{ status: 'sent' }],
  })
})

t.test('a plugin does not get what it published itself, unless it asks for it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const settings = { events: ['*'] }
  const { id, slug } = await registerPlugin(tenant, receiver.url, settings)
  const other = await registerPlugin(tenant, receiver.url, settings)
  const author = await clientOf(service, tenant, { pluginId: id })
  const publish = async () => sendEvent(author, 'review.written', { stars: 5 })
  const own = await publish()
  t.equal((await deliveriesOf(db, id)).length, 0)
  t.equal((await deliveriesOf(db, other.id)).length, 1)
  t.match((await tenant.get(`/api/events/${own}`)).json(), {
    deliveries: [{ plugin: other.slug }],
    filtered: [],
  })
  t.match((await tenant.post(`/api/plugins/${slug}/subscriptions/test`, { event_id: own })).json(), {
    matches: false,
    reason: 'own',
  })
  t.match((await tenant.post(`/api/events/${own}/replay`)).json(), { plugins: [other.slug] })
  t.match((await tenant.post(`/api/plugins/${slug}/replays`, { dry_run: true })).json(), { count: 0 })
  await feedSettled(service)
  t.strictSame((await author.get('/api/events')).json<{ data: unknown[] }>().data, [])

  const changed = await tenant.patch(`/api/plugins/${slug}`, { include_own: true })
  t.match(changed.json(), { include_own: true })
  await publish()
  t.equal((await deliveriesOf(db, id)).length, 1)
  t.match((await tenant.post(`/api/plugins/${slug}/replays`, { dry_run: true })).json(), { count: 2 })
  t.match((await tenant.patch(`/api/plugins/${slug}`, { include_own: null })).json(), { include_own: false })
  await publish()
  t.equal((await deliveriesOf(db, id)).length, 1)
})

t.test("news of a plugin's health do not go to it, and are no cause for news themselves", async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const settings = { events: ['plugin.*', 'order.*'], retry_schedule: [] }
  const first = await registerPlugin(tenant, receiver.url, settings)
  const second = await registerPlugin(tenant, receiver.url, { ...settings, events: ['plugin.*'] })
  await sendEvents(tenant, 12, 'order.created')
  await deliverDue(service, tenant)
  await deliverDue(service, tenant)
  const events = (await eventsOf(tenant))
    .map(({ event }) => event)
    .filter((event) => event !== 'order.created')
  t.strictSame(events, ['plugin.failing'])
  t.strictSame(
    (await deliveriesOf(db, first.id)).filter(({ event }) => event !== 'order.created'),
    [],
  )
  t.match(await deliveriesOf(db, second.id), [{ event: 'plugin.failing', status: 'failed' }])
})

t.test('plugins that hear of each other’s failing, and of flows, are told of once each', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const settings = { events: ['plugin.*', 'flow.*', 'order.*'], retry_schedule: [] }
  const plugins = [
    await registerPlugin(tenant, receiver.url, settings),
    await registerPlugin(tenant, receiver.url, settings),
  ]
  await sendEvents(tenant, 12, 'order.created')
  for (let turn = 0; turn < 6; turn++) await deliverDue(service, tenant)
  const alerts = async () =>
    (await eventsOf(tenant)).filter(({ event }) => event !== 'order.created').map(({ event }) => event)
  t.strictSame(await alerts(), ['plugin.failing', 'plugin.failing'])
  for (const { id } of plugins) {
    const told = (await deliveriesOf(db, id)).filter(({ event }) => event !== 'order.created')
    t.match(told, [{ event: 'plugin.failing', status: 'failed' }])
    t.equal(told.length, 1)
  }
  const third = await registerPlugin(tenant, receiver.url, { events: ['flow.*'], retry_schedule: [] })
  await db.transaction().execute(async (trx) => {
    for (let n = 0; n < 12; n++) {
      const data = { flow: 'f', flow_id: third.id, failed: 5, of: 5 }
      await service.app.events.emitIn(trx, {
        tenantId: tenant.id,
        event: 'flow.failing',
        source: 'system',
        data,
      })
    }
  })
  await deliverDue(service, tenant)
  t.equal((await deliveriesOf(db, third.id)).filter(({ status }) => status === 'failed').length, 12)
  t.equal((await alerts()).filter((event) => event.startsWith('plugin.')).length, 2, 'an alert causes none')
})

t.test('what goes round over alerts comes to its end, and alerts are told all the same', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const hearer = await startReceiver(t)
  const failing = await registerPlugin(tenant, receiver.url, { events: ['order.*'], retry_schedule: [] })
  await registerPlugin(tenant, hearer.url, { events: ['plugin.*'] })
  const publish = async (headers: Record<string, string>): Promise<void> => {
    for (const status of [404, 204]) {
      receiver.answer(status)
      for (let n = 0; n < 6; n++)
        await tenant.post('/api/events', { event: 'order.created', data: {} }, headers)
      await deliverDue(service, tenant)
    }
  }
  await publish({})
  for (let turn = 0; turn < 20; turn++) {
    const heard = hearer.received.splice(0)
    for (const { headers } of heard) {
      await publish({
        'x-causation-id': String(headers['x-causation-id']),
        'x-causation-depth': String(headers['x-causation-depth']),
      })
    }
    if (heard.length === 0) break
    await deliverDue(service, tenant)
  }
  t.equal(hearer.received.length, 0, 'it has come to its end')
  const alerts = (await eventsOf(tenant)).filter(({ event }) => event.startsWith('plugin.'))
  t.match(alerts[0], { event: 'plugin.failing', causation_depth: 1 })
  t.equal(alerts.at(-1)?.causation_depth, MAX_CAUSATION_DEPTH)
  const [first] = await deliveriesOf(db, failing.id)
  t.match((await tenant.get(`/api/events/${alerts[0]?.id}`)).json(), {
    causation: { event_id: String, depth: 1 },
  })
  t.ok(first)

  receiver.answer(404)
  const deep = { 'x-causation-id': String(first?.event_id), 'x-causation-depth': String(MAX_CAUSATION_DEPTH) }
  for (let n = 0; n < 6; n++) await tenant.post('/api/events', { event: 'order.created', data: {} }, deep)
  await deliverDue(service, tenant)
  await deliverDue(service, tenant)
  t.match(hearer.received, [{ body: /plugin\.failing/ }], 'the last in a chain fails: that is told')
})

t.test(
  'the service refuses to be a plugin of itself, by its public URL and by what it listens on',
  async (t) => {
    const open = await startApp(t, {
      env: { PUBLIC_URL: 'https://shop.example/automation', ROLES: 'api,worker' },
    })
    const url = await open.app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = open.app.server.address() as AddressInfo
    const tenant = open.tenant()
    const register = (webhookUrl: string, fields: object = {}) =>
      tenant.post('/api/plugins', { name: `p ${crypto.randomUUID()}`, webhook_url: webhookUrl, ...fields })
    const own = [
      `${url}/api/events`,
      `${url}/hooks/whatever`,
      `http://localhost:${port}/plugins/automation/webhook`,
      `http://[::ffff:127.0.0.1]:${port}/`,
      'https://shop.example/automation',
      'https://SHOP.example./automation/hooks/abc?x=1',
      'http://shop.example/automation/api/events',
      // What a proxy takes for the same path.
      'https://shop.example/%61utomation/hooks/abc',
      'https://shop.example//automation//hooks/abc',
      'https://shop.example/other%2f..%2Fautomation%2fhooks/abc',
    ]
    for (const each of own) {
      t.match(
        (await register(each)).json(),
        {
          status: 422,
          code: 'webhook_url_refused',
          errors: [{ pointer: '/webhook_url', reason: 'own_address' }],
        },
        each,
      )
    }
    for (const each of [
      'https://shop.example/automations',
      'https://shop.example/automation%73/hooks',
      'https://shop.example/',
      'https://other.example/automation',
    ]) {
      t.equal((await register(each)).statusCode, 201, each)
    }
    const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
    await open.db
      .updateTable('plugins')
      .set({ webhook_url: `${url}/api/events` })
      .where('tenant_id', '=', tenant.id)
      .execute()
    const created = await register('https://third.example/', { slug: 'later', headers })
    await open.db
      .updateTable('plugins')
      .set({ webhook_url: `${url}/api/events`, revision: 2 })
      .where('id', '=', created.json<{ id: string }>().id)
      .execute()
    t.match((await tenant.post('/api/plugins/later/test')).json(), {
      delivered: false,
      error_class: 'blocked',
      error_detail: /the service itself/,
    })
  },
)
