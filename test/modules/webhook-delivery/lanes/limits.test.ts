import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  deliveriesOf,
  registerPlugin,
  seedBacklog,
  sendEvent,
  statusesOf,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

t.test('a rate limit is kept over every second, by two workers together, and burns no attempt', async (t) => {
  const RATE = 100
  const COUNT = 250
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: RATE })
  await seedBacklog(db, tenant.id, id, COUNT)
  const counts = await Promise.all([deliverDue(service, tenant), deliverDue(service, tenant)])
  // Whoever finds the lane taken has nothing to do.
  while ((await statusesOf(db, id))['sent'] !== COUNT) counts.push(await deliverDue(service, tenant))
  t.equal(
    counts.reduce((sum, { sent }) => sum + sent, 0),
    COUNT,
  )
  // When they were sent: what receives them runs on a busy machine, in turns.
  const times = (await attemptsOf(db, id)).map(({ started_at: startedAt }) => startedAt.getTime())
  const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000
  t.ok(seconds >= (COUNT * 0.9) / RATE, `${COUNT} in ${seconds} s are not too fast`)
  t.ok(seconds <= (COUNT / RATE) * 5, `${COUNT} in ${seconds} s are not too slow`)
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
