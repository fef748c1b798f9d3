import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  deliveriesOf,
  eventually,
  laneOf,
  registerPlugin,
  seedBacklog,
  sendEvent,
  statusesOf,
  TestClock,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

const narrow = async (tenant: Tenant, slug: string, body: object, method: 'patch' | 'put' = 'patch') => {
  const response = await tenant[method](`/api/plugins/${slug}`, body)
  if (response.statusCode !== 200) throw new Error(response.body)
}
const ends = async (pluginId: string) =>
  (await deliveriesOf(db, pluginId)).map(({ event, status, reason }) => [event, status, reason])

t.test('what was unsubscribed ends without an attempt, and the rest is sent', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['*'] })
  for (const event of ['order.created', 'product.created', 'order.paid']) await sendEvent(tenant, event)
  await narrow(tenant, slug, { events: ['product.*', 'order.paid'] })
  t.match(await deliverDue(service, tenant), { sent: 2 })
  t.strictSame(await ends(id), [
    ['order.created', 'failed', 'unsubscribed'],
    ['product.created', 'sent', null],
    ['order.paid', 'sent', null],
  ])
  t.equal((await attemptsOf(db, id)).length, 2)
  t.match(await laneOf(db, id), { unsubscribed_at: null, lease_until: null })
  const [ended] = (await tenant.get('/api/plugins/events?reason=unsubscribed')).json<{ data: object[] }>()
    .data
  t.match(ended, { status: 'failed', reason: 'unsubscribed', next_attempt_at: null, attempt_count: 0 })
})

t.test('a queue longer than one look is looked over, live and replayed', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['*'] })
  await seedBacklog(db, tenant.id, id, 1_300)
  const waiting = await deliveriesOf(db, id)
  const replayed = waiting.filter((_delivery, index) => index % 2 === 0).map((delivery) => delivery.id)
  await db.updateTable('deliveries').set({ bulk: true }).where('id', 'in', replayed).execute()
  await narrow(tenant, slug, { events: ['product.*'] })
  await sendEvent(tenant, 'product.created')
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(await statusesOf(db, id), { failed: 1_300, sent: 1 })
})

t.test(
  'a retry that waits ends, too, also of a plugin that is paused or whose breaker is open',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    receiver.answer(500)
    const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['order.*', 'product.*'] })
    for (let count = 0; count < 6; count++) await sendEvent(tenant, 'order.created')
    await deliverDue(service, tenant)
    t.match(await laneOf(db, id), { breaker_state: 'open' })
    await tenant.post(`/api/plugins/${slug}/pause`)
    const { name } = (await tenant.get(`/api/plugins/${slug}`)).json<{ name: string }>()
    await narrow(tenant, slug, { name, webhook_url: receiver.url, events: ['product.*'] }, 'put')
    const before = receiver.received.length
    await deliverDue(service, tenant)
    t.strictSame(await statusesOf(db, id), { failed: 6 })
    t.equal(receiver.received.length, before)
  },
)

t.test('keep_waiting sends what waits all the same', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['*'] })
  await sendEvent(tenant, 'order.created')
  await narrow(tenant, slug, { events: ['product.*'], keep_waiting: true })
  await sendEvent(tenant, 'order.created')
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(await ends(id), [['order.created', 'sent', null]])
  t.match((await tenant.patch(`/api/plugins/${slug}`, { keep_waiting: 'yes' })).json(), {
    errors: [{ pointer: '/keep_waiting' }],
  })
})

t.test('a filter that was added ends what it does not take, and only that', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['order.*'] })
  for (const total of [10, 500]) await sendEvent(tenant, 'order.created', { total })
  const gone = await sendEvent(tenant, 'order.created', { total: 900 })
  await db.updateTable('events').set({ body: null, body_gone: 'erased' }).where('id', '=', gone).execute()
  const filter = { field: 'total', operator: 'gt', value: 100 }
  await narrow(tenant, slug, { events: [{ event: 'order.*', filter }] })
  await deliverDue(service, tenant)
  t.strictSame(await ends(id), [
    ['order.created', 'failed', 'unsubscribed'],
    ['order.created', 'sent', null],
    ['order.created', 'failed', 'unsubscribed'],
  ])
})

t.test('a change that takes no less leaves the queue alone', async (t) => {
  const tenant = service.tenant()
  const { id, slug } = await registerPlugin(tenant, 'http://127.0.0.1:9/', { events: ['order.created'] })
  const filter = { field: 'total', operator: 'gt', value: 100 }
  const steps = [
    ['order.created', 'product.created'],
    ['order.*', 'product.created', { event: 'lead.*', filter }],
    ['*', { event: 'lead.*', filter }],
    ['*'],
  ]
  for (const events of steps) {
    await narrow(tenant, slug, { events })
    t.equal((await laneOf(db, id)).unsubscribed_at, null, JSON.stringify(events))
  }
  await narrow(tenant, slug, { events: ['order.*'] })
  t.ok((await laneOf(db, id)).unsubscribed_at)
})

t.test('what somebody asks for again after the change is sent', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { events: ['order.*'], retry_schedule: [] })
  await sendEvent(tenant, 'order.created')
  receiver.answer(500)
  await deliverDue(service, tenant)
  receiver.answer(204)
  await narrow(tenant, slug, { events: ['product.*'] })
  const [failed] = await deliveriesOf(db, id)
  await tenant.post(`/api/plugins/events/${failed?.id}/retry`)
  await deliverDue(service, tenant, new TestClock())
  t.strictSame(await ends(id), [['order.created', 'sent', null]])
})

t.test('a long backlog is looked over to its end by a worker that is running', async (t) => {
  const running = await startApp(t, { env: { ROLES: 'api,worker' } })
  const tenant = running.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await tenant.post(`/api/plugins/${slug}/pause`)
  await seedBacklog(running.db, tenant.id, id, 1_700)
  await sendEvent(tenant, 'product.created')
  await narrow(tenant, slug, { events: ['product.*'] })
  await eventually(
    'the backlog has ended',
    async () => (await statusesOf(running.db, id))['failed'] === 1_700,
  )
  await tenant.post(`/api/plugins/${slug}/resume`)
  await receiver.waitFor(1)
  t.match(receiver.received, [{ body: /product\.created/ }])
})
