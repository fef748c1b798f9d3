import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  attemptsOf,
  eventually,
  registerPlugin,
  seedBacklog,
  seedLargeEvent,
  sendEvent,
  statusesOf,
} from '#test/support/deliveries.ts'
import { startHostileReceiver } from '#test/support/hostile-receiver.ts'
import { startReceiver } from '#test/support/receiver.ts'

/** The delay that the design promises. Dead endpoints hold their requests for fifteen times as long. */
const PROMPT_MS = 2_000
const ROUNDS = 5

/** The time for which a dead endpoint keeps its place. */
const DEAD_MS = 30_000

/** The middle one of some times, in which a moment that the machine did something else is not, and the longest. */
async function timed(
  rounds: number,
  work: () => Promise<unknown>,
): Promise<{ median: number; worst: number }> {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now()
    await work()
    times.push(performance.now() - startedAt)
  }
  times.sort((a, b) => a - b)
  return { median: times[Math.floor(rounds / 2)] ?? Infinity, worst: times.at(-1) ?? Infinity }
}

t.test('200 endpoints that hang do not delay the deliveries of 5 that answer', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker', MAX_IN_FLIGHT: '100' } })
  const { db } = service
  const tenant = service.tenant()
  const dead = await startHostileReceiver('hang')
  t.teardown(() => dead.close())
  const live = await startReceiver(t)
  const livePlugins: string[] = []
  for (let index = 0; index < 5; index++) {
    livePlugins.push((await registerPlugin(tenant, live.url, { events: ['order.*'] })).id)
  }
  let sent = 0
  const deliverLive = async (): Promise<void> => {
    await sendEvent(tenant, 'order.created')
    await live.waitFor(++sent * 5)
  }
  // They have shown that they answer. Endpoints that never did share what capacity is left for such.
  await deliverLive()
  const { median: aloneMs } = await timed(ROUNDS, deliverLive)
  for (let index = 0; index < 200; index++) {
    await registerPlugin(tenant, dead.url, { events: ['product.*'], timeout_ms: DEAD_MS })
  }
  for (let count = 0; count < 3; count++) await sendEvent(tenant, 'product.created')
  await eventually('the dead ones take all that they may', () => dead.requests >= 40)
  const { median: besideMs, worst } = await timed(ROUNDS, deliverLive)
  const figures = `all five had it after ${Math.round(besideMs)} ms, and ${Math.round(aloneMs)} ms before`
  // A machine that takes so long without the dead ones takes longer with them.
  t.ok(besideMs < PROMPT_MS + 5 * aloneMs, figures)
  t.ok(worst < DEAD_MS, `none waited for the dead ones to time out: ${Math.round(worst)} ms`)
  await eventually('and it is recorded', async () => {
    const statuses = await Promise.all(livePlugins.map((id) => statusesOf(db, id)))
    return statuses.every((counts) => counts['sent'] === sent)
  })
})

t.test('large bodies for endpoints that hang leave memory for the deliveries of others', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const dead = await startHostileReceiver('hang')
  t.teardown(() => dead.close())
  const live = await startReceiver(t)
  const [large, other, newcomer] = [service.tenant(), service.tenant(), service.tenant()]
  await registerPlugin(other, live.url, { events: ['order.*'] })
  await sendEvent(other, 'order.created')
  await live.waitFor(1)
  const plugins: string[] = []
  for (let index = 0; index < 20; index++) {
    const fields = { events: ['order.*'], timeout_ms: DEAD_MS, max_in_flight: 64 }
    plugins.push((await registerPlugin(large, dead.url, fields)).id)
  }
  // Each lane may have more in hand than a twentieth of what there is for all of them.
  const text = 'x'.repeat(1_000_000)
  for (let count = 0; count < 10; count++) await sendEvent(large, 'order.created', { text })
  await eventually('each of them hangs', () => dead.requests >= plugins.length)
  await registerPlugin(newcomer, live.url, { events: ['order.*'] })
  await Promise.all([sendEvent(other, 'order.created'), sendEvent(newcomer, 'order.created')])
  await live.waitFor(3)
  const ended = await Promise.all(plugins.map((id) => attemptsOf(service.db, id)))
  t.strictSame(ended.flat(), [], 'both had theirs before any of those timed out')
})

t.test('a tenant with 20,000 deliveries queued does not delay small tenants', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const { db } = service
  const busy = await startReceiver(t)
  busy.answer((_received, response) => {
    busy.received.length = 0
    response.writeHead(204).end()
  })
  const large = service.tenant()
  const { id } = await registerPlugin(large, busy.url)
  const small = await startReceiver(t)
  const tenants: Tenant[] = Array.from({ length: 5 }, () => service.tenant())
  for (const tenant of tenants) await registerPlugin(tenant, small.url)
  await seedBacklog(db, large.id, id, 20_000)
  await sendEvent(large)
  await eventually(
    'the backlog is being worked on',
    async () => ((await statusesOf(db, id))['sent'] ?? 0) > 100,
  )
  for (const [index, tenant] of tenants.entries()) {
    await sendEvent(tenant)
    await small.waitFor(index + 1)
    t.ok(((await statusesOf(db, id))['pending'] ?? 0) > 0, 'while the backlog is there')
  }
})

t.test(
  'endpoints that answer 200 late do not take all places: others are delivered to meanwhile',
  async (t) => {
    const service = await startApp(t, { env: { ROLES: 'api,worker', MAX_IN_FLIGHT: '20' } })
    const slow = await startReceiver(t)
    const quick = await startReceiver(t)
    const [large, small] = [service.tenant(), service.tenant()]
    for (let count = 0; count < 6; count++) {
      await registerPlugin(large, slow.url, { events: ['order.*'], max_in_flight: 4, timeout_ms: DEAD_MS })
    }
    await registerPlugin(small, quick.url, { events: ['order.*'] })
    await sendEvent(large, 'order.created')
    await sendEvent(small, 'order.created')
    await slow.waitFor(6)
    await quick.waitFor(1)
    const held: (() => void)[] = []
    slow.answer((_received, response) => void held.push(() => response.writeHead(200).end()))
    for (let count = 0; count < 8; count++) await sendEvent(large, 'order.created')
    await eventually('the slow ones have what they may', () => held.length === 16)
    for (let count = 2; count <= 6; count++) {
      await sendEvent(small, 'order.created')
      await quick.waitFor(count)
    }
    t.equal(held.length, 16, 'all of that while they were held')
    slow.answer(200)
    for (const answer of held) answer()
  },
)

t.test('40 bodies of 900 KB, more than one fetch takes, all arrive whole', async (t) => {
  const service = await startApp(t)
  const { app, db } = service
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  let received = 0
  receiver.answer(({ body }, response) => {
    if (Buffer.byteLength(body) === 900_000) received++
    receiver.received.length = 0
    response.writeHead(204).end()
  })
  const { id } = await registerPlugin(tenant, receiver.url)
  for (let count = 0; count < 40; count++) await seedLargeEvent(db, tenant.id, id, 900_000)
  t.match(await app.deliveries.createWorker({ tenantId: tenant.id }).drain(20_000), { sent: 40 })
  t.equal(received, 40)
  t.strictSame(await statusesOf(db, id), { sent: 40 })
})
