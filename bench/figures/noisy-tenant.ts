import type { Commands as Steady } from '../processes/steady.ts'
import type { Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue, setStatus } from '../support/seed.ts'
import { measureSteadily } from '../support/steady-run.ts'

const SMALL_TENANTS = 10
const PER_SECOND = 100
const BIG_PLUGINS = 4

export const noisyTenant: Figure = {
  name: 'noisy-tenant',
  title: 'One tenant with a large backlog beside small ones',
  about: `One tenant has 100,000 deliveries waiting for ${BIG_PLUGINS} plugins while ${SMALL_TENANTS} small ones send ${PER_SECOND} events a second together: their time from request to arrival, and how fast the backlog goes. Ceiling: before the backlog is released.`,
  async measure(stage) {
    const seconds = stage.pick(8, 2)
    const backlog = stage.pick(100_000, 4_000)
    const bigTenantId = crypto.randomUUID()
    const smallTenants = Array.from({ length: SMALL_TENANTS }, () => crypto.randomUUID())
    const database = await stage.database()
    const receiver = await stage.receiver()
    const { masterKey } = stage.bed
    for (const tenantId of smallTenants) {
      await seedPlugins(database.pool, {
        masterKey,
        tenantId,
        plugins: [{ url: `${receiver.url}/latency/small`, event: 'order.created' }],
      })
    }
    const bigPlugins = await seedPlugins(database.pool, {
      masterKey,
      tenantId: bigTenantId,
      plugins: Array.from({ length: BIG_PLUGINS }, () => ({
        url: `${receiver.url}/count`,
        event: 'bench.seeded',
      })),
      status: 'paused',
    })
    await seedQueue(database.pool, {
      tenantId: bigTenantId,
      plugins: bigPlugins,
      events: backlog / BIG_PLUGINS,
      fanOut: BIG_PLUGINS,
      body: bodyOf(bigTenantId, 300),
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    const steady = await stage.helper<Steady>('steady')
    const measure = (forSeconds: number) =>
      measureSteadily({
        steady,
        receiver,
        pool: database.pool,
        group: 'small',
        load: {
          url: `${service.url}/api/events`,
          senders: smallTenants.map((tenantId) => ({
            headers: stage.headers(tenantId),
            event: 'order.created',
          })),
          perSecond: PER_SECOND,
          seconds: forSeconds,
        },
      })
    await measure(stage.pick(2, 0.5))
    const before = await measure(stage.pick(5, 1))
    await receiver.call('reset', null)
    const startedAt = performance.now()
    await setStatus(database.pool, bigPlugins, 'active')
    const beside = await measure(seconds)
    const delivered = (await receiver.call('count', null)) - beside.count
    const perSecond = delivered / ((performance.now() - startedAt) / 1_000)
    const drained = delivered >= backlog
    const rows = (['p50', 'p99'] as const).map((p): Row => ({
      name: `small tenants beside ${backlog.toLocaleString('en')} queued, ${p}`,
      ours: beside[p],
      ceiling: before[p],
      unit: 'ms',
      target: p === 'p99' ? { of: 'ours', atMost: 2_000 } : null,
    }))
    rows.push({
      name: 'the large backlog meanwhile',
      ours: perSecond,
      ceiling: null,
      unit: 'deliveries/s',
      target: null,
      detail: { drained_before_the_end: drained },
    })
    return rows
  },
}
