import type { ServerResponse } from 'node:http'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliveriesOf,
  eventually,
  laneOf,
  sendEvents,
  statusesOf,
} from '#test/support/deliveries.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'

const LEASE_MS = 4_000
const EVENTS = 24
const IN_FLIGHT = 4

t.test('a worker that was frozen for three leases writes nothing when it wakes', async (t) => {
  const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
  const { db } = api
  const tenant = api.tenant()
  const receiver = await startCountingReceiver(t)
  const response = await tenant.post('/api/plugins', {
    name: 'orders',
    webhook_url: `${receiver.url}/orders`,
    events: ['order.*'],
    timeout_ms: 30_000,
    max_in_flight: IN_FLIGHT,
  })
  const { id, secret } = response.json<{ id: string; secret: string }>()
  receiver.expect('/orders', secret)
  const options = { databaseUrl: api.databaseUrl, env: { ROLES: 'worker', LEASE_MS: String(LEASE_MS) } }
  const frozen = await startService(t, options)
  await sendEvents(tenant, 1, 'order.created')
  await eventually(
    'the plugin has shown that it answers',
    async () => (await statusesOf(db, id))['sent'] === 1,
  )
  const unanswered: ServerResponse[] = []
  receiver.answer((response) => unanswered.push(response))
  await sendEvents(tenant, EVENTS, 'order.created')
  await eventually('attempts are under way', () => unanswered.length === IN_FLIGHT)

  frozen.kill('SIGSTOP')
  const frozenAt = performance.now()
  receiver.answer((response) => void response.writeHead(204).end())
  const other = await startService(t, options)
  await eventually(
    'another worker delivers everything',
    async () => (await statusesOf(db, id))['sent'] === EVENTS + 1,
  )
  await eventually('the other worker gives the idle lane back', async () => {
    return (await laneOf(db, id)).lease_until === null
  })
  const snapshot = async () => {
    // The woken worker may take the lane to look for work.
    const health = {
      ...(await laneOf(db, id)),
      lease_token: 0,
      lease_owner: null,
      lease_until: null,
      served_at: null,
    }
    return { health, deliveries: await deliveriesOf(db, id), attempts: await attemptsOf(db, id) }
  }
  const before = await snapshot()
  t.equal(before.attempts.length, EVENTS + 1, 'one attempt each is on record')
  // Refusals: a worker that still wrote would turn deliveries that were sent back.
  for (const response of unanswered) response.writeHead(500).end()
  await eventually('three leases have passed', () => performance.now() - frozenAt > 3 * LEASE_MS)

  frozen.kill('SIGCONT')
  await eventually('the woken worker has tried to write', async () => {
    return (await frozen.metric('bcs_fenced_outcomes_total')) === IN_FLIGHT
  })
  t.strictSame(await snapshot(), before)
  t.equal(receiver.total, EVENTS + 1 + IN_FLIGHT, 'only what was under way came twice')
  t.equal(await other.metric('bcs_fenced_outcomes_total'), 0)
  t.strictSame(receiver.faults, [])

  await sendEvents(tenant, 10, 'order.created')
  await eventually('both go on working', async () => (await statusesOf(db, id))['sent'] === EVENTS + 11)
  t.equal(receiver.total, EVENTS + 11 + IN_FLIGHT)
})
