import t from 'tap'
import { hoursAgo, seedEvent } from '#test/modules/replay/support.ts'
import { startApp } from '#test/support/app.ts'
import { eventually, registerPlugin, sendEvent, statusesOf } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { startWorkers } from './workers.ts'

t.setTimeout(300_000)

const WORKERS = 4
const REPLAYED = 400
const RATE = 20
/** Between live events, by what has arrived: some come while nobody holds the lane. */
const LIVE_EVERY = 25
/**
 * Replayed deliveries that may arrive between the answer to a live event and the event itself. One is under way; at the
 * rate the others are two seconds of a worker that has not heard of it yet. Without priority they are hundreds.
 */
const BETWEEN_MAX = 40
const KILLED_AT = [0.2, 0.6]
const PATIENCE_MS = 180_000

t.test(
  'four workers of which two are killed deliver what happens now before a replay, and lose nothing',
  async (t) => {
    const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
    const { db, databaseUrl } = api
    const tenant = api.tenant()
    const receiver = await startReceiver(t)
    const { id, slug } = await registerPlugin(tenant, receiver.url, {
      max_in_flight: 1,
      rate_limit_per_second: RATE,
    })
    const past: string[] = []
    for (let n = REPLAYED; n > 0; n--) past.push(await seedEvent(db, tenant.id, { at: hoursAgo(n) }))
    const workers = await startWorkers(t, { db, databaseUrl, count: WORKERS })
    t.equal((await tenant.post(`/api/plugins/${slug}/replays`, {})).statusCode, 202)

    const arrived = (): string[] => receiver.received.map(({ headers }) => String(headers['webhook-id']))
    const isOver = () => new Set(arrived()).size >= REPLAYED
    const kills = (async () => {
      for (const share of KILLED_AT) {
        await eventually('the moment of the kill', () => arrived().length >= share * REPLAYED, PATIENCE_MS)
        await workers.killHolder([id])
      }
    })()
    /** What had arrived when the live event was taken, by its id. */
    const live = new Map<string, number>()
    for (let next = 1; next < REPLAYED; next += LIVE_EVERY) {
      await eventually('the next moment', () => isOver() || arrived().length >= next, PATIENCE_MS)
      live.set(await sendEvent(tenant), receiver.received.length)
    }
    await kills
    const total = REPLAYED + live.size
    await eventually('all is sent', async () => (await statusesOf(db, id))['sent'] === total, PATIENCE_MS)

    const order = arrived()
    t.same(new Set(order), new Set([...past, ...live.keys()]), 'nothing is lost')
    for (const [event, before] of live) {
      const between = order
        .slice(before, Math.max(before, order.indexOf(event)))
        .filter((one) => !live.has(one))
      t.ok(between.length <= BETWEEN_MAX, `${between.length} replayed ones go before a live event`)
    }
  },
)
