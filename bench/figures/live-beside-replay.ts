import type { Commands as Steady } from '../processes/steady.ts'
import type { Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue, setStatus } from '../support/seed.ts'
import { measureSteadily } from '../support/steady-run.ts'

const PER_SECOND = 100

export const liveBesideReplay: Figure = {
  name: 'live-beside-replay',
  title: 'What happens now beside a replay',
  about: `100,000 replayed deliveries wait for a plugin that gets ${PER_SECOND} events a second meanwhile: their time from request to arrival, and how fast the replay goes. Ceiling: before the replay.`,
  async measure(stage) {
    const replayed = stage.pick(100_000, 4_000)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const plugins = await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: `${receiver.url}/latency/live`, event: '*' }],
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    const steady = await stage.helper<Steady>('steady')
    const measure = (seconds: number) =>
      measureSteadily({
        steady,
        receiver,
        pool: database.pool,
        group: 'live',
        load: {
          url: `${service.url}/api/events`,
          senders: [{ headers: stage.headers(tenantId), event: 'order.created' }],
          perSecond: PER_SECOND,
          seconds,
        },
      })
    await measure(stage.pick(2, 0.5))
    const before = await measure(stage.pick(5, 1))
    await setStatus(database.pool, plugins, 'paused')
    const body = bodyOf(tenantId, 300)
    await seedQueue(database.pool, { tenantId, plugins, events: replayed, fanOut: 1, body, bulk: true })
    const startedAt = performance.now()
    await setStatus(database.pool, plugins, 'active')
    const beside = await measure(stage.pick(8, 2))
    const delivered = (await receiver.call('count', null)) - beside.count
    const perSecond = delivered / ((performance.now() - startedAt) / 1_000)
    const rows = (['p50', 'p99'] as const).map((p): Row => ({
      name: `live beside a replay of ${replayed.toLocaleString('en')}, ${p}`,
      ours: beside[p],
      ceiling: before[p],
      unit: 'ms',
      target: p === 'p99' ? { of: 'ours', atMost: 2_000 } : null,
    }))
    rows.push({
      name: 'the replay meanwhile',
      ours: perSecond,
      ceiling: null,
      unit: 'deliveries/s',
      target: null,
      detail: { replayed_before_the_end: delivered >= replayed },
    })
    return rows
  },
}
