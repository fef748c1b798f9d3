import t from 'tap'
import { sql } from 'kysely'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  deliveriesOf,
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

/** Counts the milliseconds by which timers come late: so long a busy machine kept the process from its work. */
function watchLateness(): { stop(): number } {
  const STEP_MS = 10
  let lateMs = 0
  let expectedAt = performance.now() + STEP_MS
  const look = (): void => {
    const now = performance.now()
    lateMs += Math.max(0, now - expectedAt)
    expectedAt = now + STEP_MS
    timer = setTimeout(look, STEP_MS)
  }
  let timer = setTimeout(look, STEP_MS)
  return {
    stop() {
      clearTimeout(timer)
      return lateMs
    },
  }
}

t.test('a rate limit is kept over every second, by two workers together, and burns no attempt', async (t) => {
  const RATE = 100
  const COUNT = 250
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: RATE })
  await seedBacklog(db, tenant.id, id, COUNT)
  const lateness = watchLateness()
  const counts = await Promise.all([deliverDue(service, tenant), deliverDue(service, tenant)])
  // A worker that finds the lane taken has nothing to do.
  while ((await statusesOf(db, id))['sent'] !== COUNT) counts.push(await deliverDue(service, tenant))
  const lateSeconds = lateness.stop() / 1_000
  t.equal(
    counts.reduce((sum, { sent }) => sum + sent, 0),
    COUNT,
  )
  // The times at which they were sent: the receiver runs on a busy machine, in turns.
  const times = (await attemptsOf(db, id)).map(({ started_at: startedAt }) => startedAt.getTime())
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000
  t.ok(seconds >= (COUNT * 0.9) / RATE, `${COUNT} in ${seconds} s are not too fast`)
  t.ok(
    seconds <= (COUNT / RATE) * 1.5 + lateSeconds,
    `${COUNT} in ${seconds} s are not too slow, of which ${lateSeconds} s were not to be had`,
  )
  const busiest = Math.max(
    ...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length),
  )
  t.ok(busiest <= RATE * 1.2, `at most ${busiest} came within one second`)
  t.ok((await deliveriesOf(db, id)).every(({ attempt_count: attempts }) => attempts === 1))
})

t.test('what is left of a rate limit goes with the lane to its next holder', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: 2 })
  for (let count = 0; count < 4; count++) {
    await sendEvent(tenant)
    await deliverDue(service, tenant)
  }
  const attempts = await attemptsOf(db, id)
  t.equal(attempts.length, 4)
  const [first = NaN, , , fourth = NaN] = attempts.map(({ started_at: startedAt }) => startedAt.getTime())
  t.ok(fourth - first >= 1_400, 'four requests, two a second, four holders')
})

t.test('never more than max_in_flight requests are under way, with two workers at once', async (t) => {
  const COUNT = 60
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { max_in_flight: 3 })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  let underWay = 0
  let most = 0
  receiver.answer((_received, response) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      response.writeHead(204).end()
    }, 20)
  })
  await seedBacklog(db, tenant.id, id, COUNT)
  const counts = await Promise.all([deliverDue(service, tenant), deliverDue(service, tenant)])
  t.equal(
    counts.reduce((sum, { sent }) => sum + sent, 0),
    COUNT,
  )
  t.equal(most, 3)
  const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
  t.equal(new Set(ids).size, COUNT + 1, 'each exactly once')
  t.equal(ids.length, COUNT + 1)
})

t.test('a plugin gets all that its max_in_flight allows from one worker', async (t) => {
  const ALLOWED = 256
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, {
    max_in_flight: ALLOWED,
    timeout_ms: 30_000,
  })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const held: (() => void)[] = []
  receiver.answer((_received, response) => {
    held.push(() => response.writeHead(204).end())
  })
  await seedBacklog(db, tenant.id, id, 2 * ALLOWED)
  const delivered = deliverDue(service, tenant)
  await receiver.waitFor(1 + ALLOWED)
  t.equal(held.length, ALLOWED, 'none has been answered')
  receiver.answer(204)
  for (const answer of held) answer()
  t.match(await delivered, { processed: 2 * ALLOWED, sent: 2 * ALLOWED })
})

t.test('a plugin that never answered well gets one request at a time', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { max_in_flight: 50 })
  await seedBacklog(db, tenant.id, id, 4)
  let underWay = 0
  let most = 0
  receiver.answer((_received, response) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      response.writeHead(500).end()
    }, 20)
  })
  t.match(await deliverDue(service, tenant), { processed: 4 })
  t.equal(most, 1)
})

t.test('a rate below one a second is kept, and takes up no worker meanwhile', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: 0.01 })
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { rate_limit_per_second: 0.01 })
  await seedBacklog(db, tenant.id, id, 3)
  t.match(
    await deliverDue(service, tenant),
    { sent: 1 },
    'the first goes at once, and nobody waits for the second',
  )
  const lane = await laneOf(db, id)
  t.match(lane, { lease_until: null, hold_reason: null })
  const log = (await tenant.get('/api/plugins/events?status=pending')).json<{
    data: { next_attempt_at: string; reason: string | null }[]
  }>()
  const [second = NaN, first = NaN] = log.data.map(({ next_attempt_at: at }) => Date.parse(at))
  t.equal(Math.round((second - first) / 1_000), 100, 'the log tells when the turn of each is')
  const clock = new TestClock()
  clock.advance(61_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 0 }, 'not after a minute')
  await db
    .updateTable('delivery_lanes')
    .set({ rate_at: sql<Date>`rate_at - interval '100 seconds'` })
    .where('plugin_id', '=', id)
    .execute()
  clock.advance(61_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 1 }, 'after 100 s')
  t.strictSame(await statusesOf(db, id), { pending: 1, sent: 2 })
  t.equal((await tenant.patch(`/api/plugins/${slug}`, { rate_limit_per_second: 0.0001 })).statusCode, 400)
})
