import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { attemptsOf, deliverDue, eventually, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { heldBytes, slopeOf } from '#test/support/heap.ts'
import { type HostileKind, startHostileReceiver } from '#test/support/hostile-receiver.ts'

const KINDS: HostileKind[] = [
  'hang',
  'huge_body',
  'huge_chunked_body',
  'endless_headers',
  'gzip_bomb',
  'reset',
]
const PLUGINS_EACH = 5
/** The first rounds fill caches and pools. */
const WARM_UP_ROUNDS = 3
const ROUNDS = 10
/** Two thirds of the growth if the part of the answers that is recorded (16 KB of each) were kept. */
const MAX_SLOPE_BYTES = 320_000

// In a file, and so a process, of its own: leftovers of other tests would be measured, too.
t.test('hostile answers leave no memory behind', async (t) => {
  const service = await startApp(t)
  const { db } = service
  const tenant = service.tenant()
  const receivers = await Promise.all(KINDS.map((kind) => startHostileReceiver(kind)))
  const plugins: string[] = []
  for (const receiver of receivers) {
    t.teardown(() => receiver.close())
    for (let index = 0; index < PLUGINS_EACH; index++) {
      plugins.push((await registerPlugin(tenant, receiver.url, { timeout_ms: 1_000, retry_schedule: [] })).id)
    }
  }
  const round = async (): Promise<number> => {
    // No breaker keeps a receiver from being called.
    await db
      .updateTable('delivery_lanes')
      .set({
        breaker_state: 'closed',
        consecutive_failures: 0,
        failing_since: null,
        hold_until: null,
        hold_reason: null,
      })
      .execute()
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    await eventually('connections are closed', () => receivers.every(({ open }) => open <= PLUGINS_EACH))
    return heldBytes()
  }
  for (let left = WARM_UP_ROUNDS; left > 0; left--) await round()
  const readings: number[] = []
  for (let left = ROUNDS; left > 0; left--) readings.push(await round())
  const slope = slopeOf(readings)
  t.ok(slope < MAX_SLOPE_BYTES, `${Math.round(slope)} bytes a round: ${readings.join(', ')}`)
  t.comment(`${Math.round(slope)} bytes a round`)
  for (const id of plugins)
    t.equal((await attemptsOf(db, id)).length, WARM_UP_ROUNDS + ROUNDS, 'it was called each time')
})
