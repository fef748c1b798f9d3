import t from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

const EVENTS = 5_000
const KILLS = 10
const LEASE_MS = 5_000
const PATIENCE_MS = 500_000

t.test(
  '5,000 events through 10 kills: all that were acknowledged arrive, as few times as can be',
  async (t) => {
    const database = await createTestDatabase(t)
    const receiver = await startCountingReceiver(t)
    const tenantId = crypto.randomUUID()
    const options = { databaseUrl: database.url, env: { LEASE_MS: String(LEASE_MS) } }
    let service: ServiceProcess = await startService(t, options)
    const port = Number(new URL(service.url).port)
    const plugin = await registerAt(service, tenantId, receiver, '/orders', { max_in_flight: 16 })

    const sender = new EventSender(() => service, tenantId)
    const sent = sender.send(EVENTS, 16)
    for (let kill = 1; kill <= KILLS; kill++) {
      // At a random moment of each tenth of the events, in the middle of requests, statements and deliveries.
      const moment = Math.floor(((kill - 1 + Math.random()) * EVENTS) / KILLS)
      await eventually('the moment of the kill', () => sender.acknowledged.size >= moment, PATIENCE_MS)
      service.kill('SIGKILL')
      await service.exited
      service = await startService(t, { ...options, port })
    }
    await sent
    t.equal(sender.acknowledged.size, EVENTS)
    t.ok(sender.attempts.length > EVENTS, 'the kills did hit requests')
    await eventually(
      'everything is delivered',
      async () => (await statusesOf(database.db, plugin.id))['sent'] === EVENTS,
      PATIENCE_MS,
    )

    t.strictSame(receiver.faults, [], 'same id, same body, valid signature')
    t.equal(receiver.counts.size, EVENTS, 'an event sent again is the same event')
    t.ok(
      [...sender.acknowledged].every((id) => receiver.counts.has(`/orders ${id}`)),
      'nothing that was acknowledged is lost',
    )
    const most = Math.max(...receiver.counts.values())
    t.ok(most <= 1 + KILLS, `at most ${most} copies of one`)
    t.comment(`${receiver.total - EVENTS} duplicates, at most ${most} copies of one`)
  },
)
