import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { startApp } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { deliveriesOf, eventually, sendEvents, statusesOf } from '#test/support/deliveries.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

/** A lease so long that a wait for its end would be noticed. A worker that does not end in time ends with 1. */
const LEASE_MS = 120_000

async function setUp(t: Test, fields: Record<string, unknown> = {}) {
  const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
  const tenant = api.tenant()
  const receiver = await startCountingReceiver(t)
  const response = await tenant.post('/api/plugins', {
    name: 'orders',
    webhook_url: `${receiver.url}/orders`,
    events: ['order.*'],
    ...fields,
  })
  const { id, secret } = response.json<{ id: string; secret: string }>()
  receiver.expect('/orders', secret)
  const startWorker = () =>
    startService(t, { databaseUrl: api.databaseUrl, env: { ROLES: 'worker', LEASE_MS: String(LEASE_MS) } })
  return { api, db: api.db, tenant, receiver, pluginId: id, startWorker }
}

async function heldLanes({ db }: Awaited<ReturnType<typeof setUp>>): Promise<number> {
  const { count } = await db
    .selectFrom('delivery_lanes')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('lease_until', 'is not', null)
    .executeTakeFirstOrThrow()
  return count
}

t.test(
  'a worker that is told to end under load finishes what it began and leaves the rest at once',
  async (t) => {
    const COUNT = 2_000
    const setting = await setUp(t, { max_in_flight: 8 })
    const { db, tenant, receiver, pluginId, startWorker } = setting
    receiver.answer((response) => setTimeout(() => response.writeHead(204).end(), 20))
    const first = await startWorker()
    await sendEvents(tenant, COUNT, 'order.created')
    await eventually('deliveries are under way', () => receiver.total > 100)
    first.kill('SIGTERM')
    const { code } = await first.exited
    t.equal(code, 0, first.log.slice(-3).join('\n'))
    t.equal(await heldLanes(setting), 0, 'its lanes are free')
    const { sent = 0, pending = 0 } = await statusesOf(db, pluginId)
    t.equal(sent, receiver.total, 'what was answered is recorded')
    t.ok(pending > 0, 'and it did not go on')
    receiver.answer((response) => void response.writeHead(204).end())
    await startWorker()
    await eventually('another one delivers the rest', async () => {
      return (await statusesOf(db, pluginId))['sent'] === COUNT
    })
    t.equal(receiver.total, COUNT, 'no duplicate')
    t.strictSame(receiver.faults, [])
  },
)

t.test('receivers that do not answer do not keep a worker from ending in time', async (t) => {
  const setting = await setUp(t, { timeout_ms: 30_000 })
  const { db, tenant, receiver, pluginId, startWorker } = setting
  receiver.answer(() => undefined)
  const first = await startWorker()
  await sendEvents(tenant, 3, 'order.created')
  await eventually('an attempt is under way', () => receiver.total === 1)
  first.kill('SIGTERM')
  const { code } = await first.exited
  t.equal(code, 0, first.log.slice(-3).join('\n'))
  t.equal(await heldLanes(setting), 0)
  t.ok(
    (await deliveriesOf(db, pluginId)).every((row) => row.status === 'pending' && row.attempt_count === 0),
    'no attempt is burnt',
  )
  receiver.answer((response) => void response.writeHead(204).end())
  await startWorker()
  await eventually('another one delivers at once', async () => {
    return (await statusesOf(db, pluginId))['sent'] === 3
  })
})

t.test('a service that is told to end amid requests loses none that it acknowledged', async (t) => {
  const database = await createTestDatabase(t)
  const receiver = await startCountingReceiver(t)
  const tenantId = crypto.randomUUID()
  const first = await startService(t, { databaseUrl: database.url })
  const plugin = await registerAt(first, tenantId, receiver, '/orders')
  let current = first
  const sender = new EventSender(() => current, tenantId)
  const sending = sender.send(Infinity, 8)
  await eventually('events come in', () => sender.acknowledged.size > 200)
  first.kill('SIGTERM')
  const { code } = await first.exited
  t.equal(code, 0, first.log.slice(-3).join('\n'))
  const acknowledged = sender.acknowledged.size
  current = await startService(t, { databaseUrl: database.url })
  await eventually('its successor goes on', () => sender.acknowledged.size > acknowledged)
  sender.stop()
  await sending
  await eventually('everything is delivered', async () => {
    const arrived = [...sender.acknowledged].every((id) => receiver.counts.has(`/orders ${id}`))
    return arrived && (await statusesOf(database.db, plugin.id))['sent'] === receiver.counts.size
  })
  t.strictSame(
    [...sender.acknowledged].filter((id) => receiver.counts.get(`/orders ${id}`) !== 1),
    [],
    'each exactly once',
  )
  t.strictSame([...new Set(sender.attempts.map(({ status }) => status))].toSorted(), [0, 202])
})
