import t from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startService } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

t.setTimeout(300_000)

const EVENTS = 20
/** What is promised with the lease as it is by default. */
const PROMISE_MS = 45_000

t.test('what a killed worker had under way goes out again within 45 s, under the same id', async (t) => {
  const database = await createTestDatabase(t)
  const receiver = await startCountingReceiver(t)
  const tenantId = crypto.randomUUID()
  const first = await startService(t, { databaseUrl: database.url })
  const plugin = await registerAt(first, tenantId, receiver, '/orders')
  const sender = new EventSender(() => first, tenantId)
  await sender.send(1, 1)
  await eventually('the plugin has shown that it answers', () => receiver.total === 1)
  receiver.answer(() => undefined)
  await sender.send(EVENTS - 1, 4)
  await eventually('four attempts are under way', () => receiver.total === 1 + 4)
  const underWay = [...receiver.counts.keys()].slice(1)

  const killedAt = performance.now()
  first.kill('SIGKILL')
  await first.exited
  receiver.answer((response) => void response.writeHead(204).end())
  const second = await startService(t, { databaseUrl: database.url })
  await eventually(
    'everything is delivered',
    async () => (await statusesOf(database.db, plugin.id))['sent'] === EVENTS,
    PROMISE_MS,
  )
  const tookMs = performance.now() - killedAt
  t.ok(tookMs < PROMISE_MS, `delivered ${Math.round(tookMs)} ms after the kill`)
  for (const key of underWay) t.equal(receiver.counts.get(key), 2, 'once to the killed worker, once more')
  t.equal(receiver.total, EVENTS + 4)
  t.strictSame(receiver.faults, [])
  t.equal(await second.metric('bcs_fenced_outcomes_total'), 0)
})
