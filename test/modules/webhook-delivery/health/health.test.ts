import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  laneOf,
  onlyDelivery,
  registerPlugin,
  sendEvent,
  sendEvents,
  TestClock,
} from '#test/support/deliveries.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

/** A plugin that hears of the others' health. */
async function startObserver(t: Test, tenant: Tenant): Promise<Receiver> {
  const observer = await startReceiver(t)
  await registerPlugin(tenant, observer.url, { slug: 'observer', events: ['plugin.*'] })
  return observer
}

interface Announcement {
  event: string
  data: Record<string, unknown>
}

const heardBy = (observer: Receiver): Announcement[] =>
  observer.received.map(({ body }) => JSON.parse(body) as Announcement)

t.test('a plugin that fails 5 times in a row is announced once, and so is its recovery', async (t) => {
  const tenant = service.tenant()
  const observer = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  receiver.answer(404)
  await sendEvents(tenant, 4)
  await deliverDue(service, tenant)
  t.equal(observer.received.length, 0, 'four are not enough')
  await sendEvents(tenant, 3)
  await deliverDue(service, tenant)
  t.match(heardBy(observer), [
    {
      event: 'plugin.failing',
      data: { plugin: slug, plugin_id: id, last_error_class: 'http_4xx' },
    },
  ])
  t.ok(Number(heardBy(observer)[0]?.data['consecutive_failures']) >= 5)
  receiver.answer(204)
  await sendEvents(tenant, 2)
  await deliverDue(service, tenant)
  t.match(heardBy(observer).slice(1), [{ event: 'plugin.recovered', data: { plugin: slug } }])
  t.equal(observer.received.length, 2)
  t.match(await laneOf(db, id), { failing_announced: false, failing_attempts: 0, failing_since: null })
})

/** A plugin with a past of failures. */
async function registerFailing(tenant: Tenant, url: string, days: number, attempts: number) {
  const plugin = await registerPlugin(tenant, url)
  await db
    .updateTable('delivery_lanes')
    .set({
      failing_since: sql<Date>`now() - ${days} * interval '1 day'`,
      failing_attempts: attempts,
      consecutive_failures: attempts,
      failing_announced: true,
    })
    .where('plugin_id', '=', plugin.id)
    .execute()
  return plugin
}

t.test('after 5 days and 20 attempts of failing a plugin is disabled and says so', async (t) => {
  const tenant = service.tenant()
  const observer = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const { id, slug } = await registerFailing(tenant, receiver.url, 5.01, 19)
  await sendEvent(tenant)
  t.match(await deliverDue(service, tenant), { processed: 2, retried: 1, sent: 1 })
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), {
    status: 'disabled',
    status_reason: 'failing',
  })
  t.match(heardBy(observer), [
    { event: 'plugin.disabled', data: { plugin: slug, plugin_id: id, reason: 'failing' } },
  ])
  const audited = (await tenant.get('/api/audit-log')).json<{ data: { action: string }[] }>()
  t.match(
    audited.data.find(({ action }) => action === 'plugin.disabled'),
    { actor_kind: 'system', target_id: id },
  )
  t.match(await onlyDelivery(db, id), { status: 'retry', attempt_count: 1 }, 'its delivery waits')

  receiver.answer(204)
  t.equal((await tenant.post(`/api/plugins/${slug}/resume`)).statusCode, 200)
  const clock = new TestClock()
  clock.advance(36_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 2, sent: 2 })
  t.match(heardBy(observer).at(-1), { event: 'plugin.recovered' })
})

t.test('neither 5 days without 20 attempts nor 20 attempts without 5 days disable a plugin', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const plugins = [
    await registerFailing(tenant, receiver.url, 30, 18),
    await registerFailing(tenant, receiver.url, 4.99, 500),
  ]
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  for (const { id, slug } of plugins) {
    t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { status: 'active' })
    t.match(await onlyDelivery(db, id), { status: 'retry' })
  }
})

t.test('two workers that see the same failure announce it once', async (t) => {
  const tenant = service.tenant()
  const observer = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  receiver.answer(404)
  await registerPlugin(tenant, receiver.url)
  for (let round = 0; round < 4; round++) {
    await sendEvents(tenant, 3)
    await Promise.all([deliverDue(service, tenant), deliverDue(service, tenant)])
  }
  await deliverDue(service, tenant)
  t.strictSame(
    heardBy(observer).map(({ event }) => event),
    ['plugin.failing'],
  )
})
