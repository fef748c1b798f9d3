import { sql } from 'kysely'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  laneOf,
  onlyDelivery,
  registerPlugin,
  sendEvent,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { app, db } = service

async function fencedOutcomes(): Promise<number> {
  return (await app.metrics.fencedOutcomes.get()).values[0]?.value ?? 0
}

/** Makes the lane's lease one that has passed, as it has when its holder was frozen for longer. */
async function expireLease(pluginId: string): Promise<void> {
  await db
    .updateTable('delivery_lanes')
    .set({ lease_until: sql<Date>`clock_timestamp() - interval '1 second'` })
    .where('plugin_id', '=', pluginId)
    .execute()
}

/** A worker with one attempt under way that is answered 500 when `answer` is called, and its plugin. */
async function holdAttempt(t: Parameters<typeof startReceiver>[0], tenant: Tenant) {
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  let answer = (): void => undefined
  receiver.answer((_received, response) => {
    answer = () => response.writeHead(500).end()
    receiver.answer(204)
  })
  await sendEvent(tenant)
  const drained = deliverDue(service, tenant)
  await receiver.waitFor(1)
  return { pluginId: id, receiver, drained, answer: () => answer() }
}

t.test('a holder whose lane was taken over while it was frozen writes nothing when it wakes', async (t) => {
  const tenant = service.tenant()
  const { pluginId, receiver, drained, answer } = await holdAttempt(t, tenant)
  const { lease_token: firstToken } = await laneOf(db, pluginId)
  await expireLease(pluginId)
  t.match(await deliverDue(service, tenant), { processed: 1, sent: 1 }, 'another worker delivers')
  const [delivery, lane, fenced] = await Promise.all([
    onlyDelivery(db, pluginId),
    laneOf(db, pluginId),
    fencedOutcomes(),
  ])
  t.ok(lane.lease_token > firstToken)
  answer()
  t.match(await drained, { processed: 0, failed: 0, retried: 0 })
  t.strictSame(await onlyDelivery(db, pluginId), delivery)
  // It may take the lane again, and finds nothing to do.
  const { lease_token, served_at } = await laneOf(db, pluginId)
  t.strictSame(await laneOf(db, pluginId), { ...lane, lease_token, served_at })
  t.match(await attemptsOf(db, pluginId), [{ number: 1, response_status: 204 }])
  t.equal(await fencedOutcomes(), fenced + 1)
  t.equal(receiver.received[0]?.headers['webhook-id'], receiver.received[1]?.headers['webhook-id'])
})

t.test(
  'an outcome that comes after its lease does not count, even if nobody else took the lane',
  async (t) => {
    const tenant = service.tenant()
    const { pluginId, receiver, drained, answer } = await holdAttempt(t, tenant)
    const fenced = await fencedOutcomes()
    await expireLease(pluginId)
    answer()
    t.match(await drained, { processed: 1, sent: 1 }, 'it goes out again, by the front door')
    t.equal(receiver.received.length, 2)
    t.match(await attemptsOf(db, pluginId), [{ number: 1, response_status: 204 }])
    t.equal(await fencedOutcomes(), fenced + 1)
  },
)

t.test('failures that do not count neither announce a plugin as failing nor disable it', async (t) => {
  const tenant = service.tenant()
  const observer = await startReceiver(t)
  await registerPlugin(tenant, observer.url, { events: ['plugin.*'] })
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await db
    .updateTable('delivery_lanes')
    .set({
      consecutive_failures: 4,
      failing_attempts: 100,
      failing_since: sql<Date>`now() - interval '30 days'`,
    })
    .where('plugin_id', '=', id)
    .execute()
  let answer = (): void => undefined
  receiver.answer((_received, response) => {
    answer = () => response.writeHead(500).end()
    receiver.answer(204)
  })
  await sendEvent(tenant)
  const drained = deliverDue(service, tenant)
  await receiver.waitFor(1)
  await expireLease(id)
  await deliverDue(service, tenant)
  answer()
  await drained
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { status: 'active' })
  const announced = await db
    .selectFrom('events')
    .select('event')
    .where('tenant_id', '=', tenant.id)
    .where('source', '=', 'system')
    .execute()
  t.strictSame(announced, [])
})

t.test('every taking of a lane raises its token, and a released lane keeps it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  let last = (Date.now() - 60_000) * 1_000
  for (let taking = 0; taking < 3; taking++) {
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    const lane = await laneOf(db, id)
    t.ok(lane.lease_token > last, "the database's clock in microseconds")
    t.match(lane, { lease_until: null, lease_owner: null })
    last = lane.lease_token
  }
})

t.test('a token is never less than the last one, whatever the clock says', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  const ahead = (Date.now() + 3_600_000) * 1_000
  await db.updateTable('delivery_lanes').set({ lease_token: ahead }).where('plugin_id', '=', id).execute()
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.match(await laneOf(db, id), { lease_token: ahead + 1 })
})
