import { sql } from 'kysely'
import t from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startService } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

const EVENTS = 20
/** The lease as it is by default. The promise is 45 s: the lease, and the look that finds that it has run out. */
const DEFAULT_LEASE_MS = 30_000

t.test(
  'what a killed worker had under way goes out again once its lease has run out, under the same id',
  async (t) => {
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

    first.kill('SIGKILL')
    await first.exited
    // Nobody renews it any more. Nothing is waited for that the clock alone does.
    const { rows } = await sql<{ left: number }>`
    update delivery_lanes set lease_until = clock_timestamp() from delivery_lanes as before
    where before.plugin_id = delivery_lanes.plugin_id and delivery_lanes.plugin_id = ${plugin.id}
    returning extract(epoch from before.lease_until - clock_timestamp())::float8 * 1000 as left`.execute(
      database.db,
    )
    t.ok((rows[0]?.left ?? Infinity) <= DEFAULT_LEASE_MS, `${rows[0]?.left} ms are left of the lease`)
    receiver.answer((response) => void response.writeHead(204).end())
    const second = await startService(t, { databaseUrl: database.url })
    await eventually(
      'everything is delivered',
      async () => (await statusesOf(database.db, plugin.id))['sent'] === EVENTS,
    )
    for (const key of underWay) t.equal(receiver.counts.get(key), 2, 'once to the killed worker, once more')
    t.equal(receiver.total, EVENTS + 4)
    t.strictSame(receiver.faults, [])
    t.equal(await second.metric('bcs_fenced_outcomes_total'), 0)
  },
)
