import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { runReplayTurn } from '#modules/replay/worker.ts'
import { queueState } from '#modules/webhook-delivery/due/queue-figures-repository.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue, deliveriesOf, eventually, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'
import { hoursAgo, seedEvent } from './support.ts'

const service = await startApp(t)
const { app, db } = service

/** Has a plugin's past events queued, by a replay that has run to its end. */
async function replay(tenant: Tenant, slug: string, body: object = {}): Promise<void> {
  const created = await tenant.post(`/api/plugins/${slug}/replays`, body)
  if (created.statusCode !== 202) throw new Error(created.body)
  const ctx = {
    db: app.workerDb,
    signals: app.signals,
    leaseMs: 30_000,
    batchSize: 500,
    maxWaiting: 50_000,
  }
  while ((await runReplayTurn(ctx)) !== 'idle');
}

const idsAt = (receiver: Receiver): unknown[] => receiver.received.map(({ headers }) => headers['webhook-id'])

/** Answers nothing until it is told to. */
function hold(receiver: Receiver): ServerResponse[] {
  const held: ServerResponse[] = []
  receiver.answer((_received, response) => void held.push(response))
  return held
}

async function startWorker(t: Test, tenant: Tenant) {
  const worker = app.deliveries.createWorker({ tenantId: tenant.id })
  t.teardown(() => worker.stop(0))
  worker.start()
  return worker
}

t.test('what happens after a replay is delivered before it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url, { max_in_flight: 1 })
  for (let hours = 300; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
  await replay(tenant, slug)
  const live = [await sendEvent(tenant), await sendEvent(tenant)]
  t.match(await deliverDue(service, tenant), { sent: 302 })
  t.strictSame(idsAt(receiver).slice(0, 2), live)
})

t.test(
  'what happens during a replay waits for the attempt that is under way, and for no other',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { id, slug } = await registerPlugin(tenant, receiver.url, { max_in_flight: 1 })
    const witness = await startReceiver(t)
    const { id: witnessId } = await registerPlugin(tenant, witness.url, { events: ['product.*'] })
    for (let hours = 300; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
    await replay(tenant, slug)

    const held = hold(receiver)
    const worker = await startWorker(t, tenant)
    await receiver.waitFor(1)
    const live: string[] = []
    for (let round = 1; round <= 3; round++) {
      live.push(await sendEvent(tenant))
      worker.hint([id, witnessId])
      // One fetch serves both plugins: the busy one has its share in hand once the witness has got its own.
      await witness.waitFor(round)
      held.shift()?.writeHead(204).end()
      await receiver.waitFor(2 * round)
      t.equal(idsAt(receiver).at(-1), live.at(-1), 'it is the next to arrive')
      held.shift()?.writeHead(204).end()
      await receiver.waitFor(2 * round + 1)
      t.notOk(live.includes(String(idsAt(receiver).at(-1))), 'then the replay goes on')
    }
    receiver.answer(204)
    for (const response of held.splice(0)) response.writeHead(204).end()
    await receiver.waitFor(303)
    t.equal(new Set(idsAt(receiver)).size, 303, 'and loses nothing')
  },
)

t.test('a replayed delivery that has failed waits for its retry behind what happens now', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { retry_schedule: [1] })
  const past = await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  await replay(tenant, slug)
  receiver.answer(404)
  await deliverDue(service, tenant)
  const [failed] = await deliveriesOf(db, id)
  t.match(failed, { status: 'retry', reason: null })
  receiver.answer(204)
  await eventually('it is due again', () => (failed?.due_at ?? new Date()) <= new Date())
  const live = await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.strictSame(idsAt(receiver), [past, live, past])
})

t.test('a delivery that a person retries goes before a replay', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { max_in_flight: 1 })
  for (let hours = 3; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
  await replay(tenant, slug)
  const last = (await deliveriesOf(db, id)).at(-1)
  const answer = await tenant.post(`/api/plugins/events/${last?.id ?? ''}/retry`)
  t.equal(answer.statusCode, 202, answer.body)
  await deliverDue(service, tenant)
  t.equal(idsAt(receiver)[0], last?.event_id)
  t.equal(receiver.received.length, 3)
})

t.test('a replay is found beside what is to be retried later, and shows in the queue', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { retry_schedule: [3600] })
  receiver.answer(404)
  const live = await sendEvent(tenant)
  await deliverDue(service, tenant)
  receiver.answer(204)
  const past: string[] = []
  for (let hours = 3; hours > 0; hours--) past.push(await seedEvent(db, tenant.id, { at: hoursAgo(hours) }))
  await replay(tenant, slug, { status: 'undelivered' })
  await db
    .updateTable('deliveries')
    .set({ due_at: hoursAgo(1) })
    .where('plugin_id', '=', id)
    .where('event_id', '=', past[0] ?? '')
    .execute()
  t.ok((await queueState(app.pools.api)).oldestDueSeconds >= 3_600)
  t.match(await deliverDue(service, tenant), { sent: 3 })
  t.strictSame(idsAt(receiver), [live, ...past])
})

t.test('a person may retry what waits in a replay that is being sent, also what is under way', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, {
    max_in_flight: 1,
    retry_schedule: [3600],
  })
  const witness = await startReceiver(t)
  const { id: witnessId } = await registerPlugin(tenant, witness.url, { events: ['product.*'] })
  const past: string[] = []
  for (let hours = 300; hours > 0; hours--) past.push(await seedEvent(db, tenant.id, { at: hoursAgo(hours) }))
  await replay(tenant, slug)
  const held = hold(receiver)
  const worker = await startWorker(t, tenant)
  await receiver.waitFor(1)

  const deliveryOf = async (eventId: unknown) =>
    (await deliveriesOf(db, id)).find(({ event_id }) => event_id === eventId)
  const retry = async (eventId: unknown) => {
    const delivery = await deliveryOf(eventId)
    return tenant.post(`/api/plugins/events/${delivery?.id ?? ''}/retry`)
  }
  for (const eventId of [past.at(-1), past[0]]) t.equal((await retry(eventId)).statusCode, 202)
  const live = await sendEvent(tenant)
  worker.hint([id, witnessId])
  await witness.waitFor(1)
  receiver.answer(204)
  held.shift()?.writeHead(404).end()
  await receiver.waitFor(301)
  t.strictSame(idsAt(receiver).slice(0, 3), [past[0], past.at(-1), live])
  t.equal(new Set(idsAt(receiver)).size, 301, 'none goes twice')
  const failed = await deliveryOf(past[0])
  t.match(failed, { status: 'retry', attempt_count: 1 }, 'what was under way is retried by its schedule')
  t.ok((failed?.due_at ?? new Date(0)) > new Date())
})

t.test('deliveries that a replay hastens go behind what happens now', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url, { max_in_flight: 1 })
  receiver.answer(404)
  const waiting = await sendEvent(tenant)
  await deliverDue(service, tenant)
  await replay(tenant, slug, { status: 'retry' })
  receiver.answer(204)
  const live = await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.strictSame(idsAt(receiver), [waiting, live, waiting])
})

t.test('the next attempt of a replayed delivery is told behind what is live', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: 1 })
  await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  await replay(tenant, slug)
  const [replayed] = await deliveriesOf(db, id)
  const next = async (deliveryId: string): Promise<number> => {
    const answer = await tenant.get(`/api/plugins/events/${deliveryId}`)
    return Date.parse(answer.json<{ next_attempt_at: string }>().next_attempt_at)
  }
  for (let count = 0; count < 3; count++) await sendEvent(tenant)
  const last = (await deliveriesOf(db, id)).at(-1)
  t.ok((await next(replayed?.id ?? '')) > (await next(last?.id ?? '')))
})
