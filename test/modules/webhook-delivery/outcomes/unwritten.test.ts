import { sql } from 'kysely'
import t from 'tap'
import { UNWRITTEN_MAX } from '#modules/webhook-delivery/outcomes/writer.ts'
import { startApp } from '#test/support/app.ts'
import { eventually, registerPlugin, seedBacklog, statusesOf } from '#test/support/deliveries.ts'
import { HeldTransaction, lockWaits } from '#test/support/locks.ts'
import { startReceiver } from '#test/support/receiver.ts'

const IN_FLIGHT = 64
/** What one statement writes: under way while as many wait as may. */
const ONE_BATCH = 512
const DUE = UNWRITTEN_MAX + 3_000

t.test(
  'while outcomes cannot be written only so many deliveries are sent, and then the others are',
  async (t) => {
    const service = await startApp(t, { env: { ROLES: 'api,worker' } })
    const receiver = await startReceiver(t)
    const shop = service.tenant()
    const plugin = await registerPlugin(shop, receiver.url, { events: ['order.*'], max_in_flight: IN_FLIGHT })
    const writes = new HeldTransaction(service.db)
    await writes.begin((trx) => sql`lock table delivery_attempts in exclusive mode`.execute(trx))
    await seedBacklog(service.db, shop.id, plugin.id, DUE)
    await eventually('as many are sent as may be unwritten', () => receiver.received.length >= UNWRITTEN_MAX)
    await lockWaits(service.db)
    const most = UNWRITTEN_MAX + ONE_BATCH + IN_FLIGHT
    for (let looks = 0; looks < 20; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      t.ok(receiver.received.length <= most, `${receiver.received.length} of ${DUE} are sent`)
    }
    await writes.commit()
    await eventually(
      'all are recorded',
      async () => (await statusesOf(service.db, plugin.id))['sent'] === DUE,
      60_000,
    )
    t.equal(receiver.received.length, DUE, 'each once')
  },
)
