import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  eventually,
  laneOf,
  registerPlugin,
  seedBacklog,
  sendEvent,
  statusesOf,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

async function call(tenant: Tenant, path: string, body?: unknown): Promise<void> {
  const response = await tenant.post(path, body)
  if (response.statusCode >= 300) throw new Error(response.body)
}

async function reasonsOf(tenant: Tenant): Promise<unknown[]> {
  const log = (await tenant.get('/api/plugins/events')).json<{ data: { reason: unknown }[] }>()
  return log.data.map(({ reason }) => reason)
}

t.test('deliveries of a paused plugin wait, say why, and go out on resume', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await call(tenant, `/api/plugins/${slug}/pause`)
  await sendEvent(tenant)
  t.match(await deliverDue(service, tenant), { processed: 0 })
  t.strictSame(await reasonsOf(tenant), ['plugin_paused', 'plugin_paused'])
  await call(tenant, `/api/plugins/${slug}/resume`)
  t.strictSame(await reasonsOf(tenant), [null, null])
  t.match(await deliverDue(service, tenant), { sent: 2 })
  t.strictSame(await statusesOf(db, id), { sent: 2 })
})

t.test('deliveries of a disabled plugin wait just so, and resume forgets its failures', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  receiver.answer(500)
  for (let count = 0; count < 6; count++) await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.match(await laneOf(db, id), { breaker_state: 'open' })
  await tenant.patch(`/api/plugins/${slug}`, { status: 'disabled' })
  t.match(await reasonsOf(tenant), new Array(6).fill('plugin_disabled'))
  receiver.answer(204)
  await call(tenant, `/api/plugins/${slug}/resume`)
  t.match(await deliverDue(service, tenant), { sent: 1 }, 'at once, without waiting for the breaker')
  t.match(await laneOf(db, id), { breaker_state: 'closed', consecutive_failures: 0, hold_until: null })
})

t.test('resume with backlog: skip gives up what waited, and only that', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await call(tenant, `/api/plugins/${slug}/pause`)
  await seedBacklog(db, tenant.id, id, 2_500)
  await call(tenant, `/api/plugins/${slug}/resume`, { backlog: 'skip' })
  const kept = await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.strictSame(await statusesOf(db, id), { failed: 2_500, sent: 1 })
  t.strictSame(
    receiver.received.map(({ headers }) => headers['webhook-id']),
    [kept],
  )
  const skipped = (await deliveriesOf(db, id)).filter(({ status }) => status === 'failed')
  t.ok(skipped.every(({ reason, attempt_count: attempts }) => reason === 'skipped' && attempts === 0))
  t.match(await laneOf(db, id), { skip_before: null, lease_until: null })
})

t.test('what waits for a deleted plugin is given up, with that reason', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await call(tenant, `/api/plugins/${slug}/pause`)
  await seedBacklog(db, tenant.id, id, 1_200)
  await tenant.delete(`/api/plugins/${slug}`)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.strictSame(await statusesOf(db, id), { failed: 1_200 })
  const rows = await deliveriesOf(db, id)
  t.ok(rows.every(({ reason, due_at: dueAt }) => reason === 'plugin_deleted' && dueAt === null))
  t.equal(receiver.received.length, 0)
})

t.test('a change of a plugin whose lane is held counts from the next attempt on', async (t) => {
  // Waiting for 4 poll intervals would not do: the signal does it.
  const live = await startApp(t, { env: { ROLES: 'api,worker', POLL_MS: '60000' } })
  const tenant = live.tenant()
  const before = await startReceiver(t)
  const after = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, before.url, { max_in_flight: 1 })
  await sendEvent(tenant)
  await before.waitFor(1)
  t.test('another URL', async (t) => {
    before.answer((_received, response) => setTimeout(() => response.writeHead(204).end(), 5))
    await seedBacklog(live.db, tenant.id, id, 300)
    await sendEvent(tenant)
    await before.waitFor(5)
    await tenant.patch(`/api/plugins/${slug}`, { webhook_url: after.url })
    const sentBefore = before.received.length
    await after.waitFor(1)
    await eventually('all are sent', async () => (await statusesOf(live.db, id))['sent'] === 302)
    t.ok(before.received.length <= sentBefore + 1, 'but for the attempt that was under way')
    t.equal(before.received.length + after.received.length, 302)
  })
  t.test('another secret', async (t) => {
    const count = after.received.length
    await call(tenant, `/api/plugins/${slug}/rotate-secret`, { overlap_seconds: 3_600 })
    await sendEvent(tenant)
    const last = (await after.waitFor(count + 1)).at(-1)
    t.equal(String(last?.headers['webhook-signature']).split(' ').length, 2)
  })
  t.test('a pause', async (t) => {
    after.answer((_received, response) => setTimeout(() => response.writeHead(204).end(), 5))
    const count = after.received.length
    await seedBacklog(live.db, tenant.id, id, 300)
    await sendEvent(tenant)
    await after.waitFor(count + 5)
    await call(tenant, `/api/plugins/${slug}/pause`)
    const atPause = after.received.length
    await eventually('the lane is free', async () => (await laneOf(live.db, id)).lease_until === null)
    t.ok(after.received.length <= atPause + 1)
    t.ok(((await statusesOf(live.db, id))['pending'] ?? 0) > 200, 'the rest waits')
    await call(tenant, `/api/plugins/${slug}/resume`)
    await after.waitFor(count + 301)
  })
})
