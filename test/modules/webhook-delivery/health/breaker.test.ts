import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  laneOf,
  registerPlugin,
  sendEvents,
  statusesOf,
  TestClock,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

t.test('a breaker opens after 5 failures in a row, probes alone, doubles its pause and closes', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(500)
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvents(tenant, 20)
  const clock = new TestClock().hold()
  const heldForMs = async (): Promise<number> => {
    const { hold_until: until } = await laneOf(db, id)
    return (until?.getTime() ?? 0) - clock.now().getTime()
  }
  const untouched = async (): Promise<number> =>
    (await deliveriesOf(db, id)).filter((delivery) => delivery.attempt_count === 0).length

  t.match(await deliverDue(service, tenant, clock), { processed: 5, retried: 5 })
  t.match(await laneOf(db, id), { breaker_state: 'open', breaker_opens: 1, hold_reason: 'breaker_open' })
  t.equal(await untouched(), 15, 'no attempt is burnt')
  const firstMs = await heldForMs()
  t.ok(firstMs > 3_000 && firstMs <= 5_000, `${firstMs}`)
  const log = (await tenant.get('/api/plugins/events?status=pending')).json<{ data: { reason: string }[] }>()
  t.equal(log.data.filter(({ reason }) => reason === 'breaker_open').length, 15)

  clock.advance(firstMs - 500)
  t.match(await deliverDue(service, tenant, clock), { processed: 0 }, 'it holds')
  clock.advance(600)
  t.match(await deliverDue(service, tenant, clock), { processed: 1, retried: 1 }, 'one probe')
  t.match(await laneOf(db, id), { breaker_state: 'open', breaker_opens: 2 })
  const secondMs = await heldForMs()
  t.ok(secondMs > 8_000 && secondMs <= 10_000, `${secondMs}`)
  t.equal(receiver.received.length, 6)

  receiver.answer(204)
  clock.advance(secondMs + 100)
  t.match(await deliverDue(service, tenant, clock), { processed: 14, sent: 14 }, 'what was never tried')
  t.match(await laneOf(db, id), {
    breaker_state: 'closed',
    breaker_opens: 0,
    hold_until: null,
    consecutive_failures: 0,
    failing_since: null,
  })
  clock.advance(36_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 6 }, 'and the failed ones when they are due')
  t.strictSame(await statusesOf(db, id), { sent: 20 })
})

t.test('a receiver that refuses single deliveries by 4xx is up: its breaker stays closed', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvents(tenant, 10)
  t.match(await deliverDue(service, tenant), { processed: 10, retried: 10 })
  t.match(await laneOf(db, id), { breaker_state: 'closed', hold_until: null, consecutive_failures: 10 })
})

t.test('refusals do not count towards the breaker, not even when an outage follows them', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  let answers = 0
  receiver.answer((_received, response) => response.writeHead(++answers <= 4 ? 404 : 500).end())
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvents(tenant, 8)
  await deliverDue(service, tenant, new TestClock())
  t.match(await laneOf(db, id), { breaker_state: 'closed', breaker_opens: 0, consecutive_failures: 8 })
})

t.test('one plugin in outage does not hold the others of its tenant', async (t) => {
  const tenant = service.tenant()
  const dead = await startReceiver(t)
  const live = await startReceiver(t)
  dead.answer(503)
  const { id: deadId } = await registerPlugin(tenant, dead.url)
  const { id: liveId } = await registerPlugin(tenant, live.url)
  await sendEvents(tenant, 30)
  await deliverDue(service, tenant)
  t.equal(dead.received.length, 5)
  t.strictSame(await statusesOf(db, liveId), { sent: 30 })
  t.strictSame(await statusesOf(db, deadId), { pending: 25, retry: 5 })
})
