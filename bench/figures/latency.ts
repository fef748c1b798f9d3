import type { Commands as Steady } from '../processes/steady.ts'
import type { Figure, Row } from '../support/figure.ts'
import { seedPlugins } from '../support/seed.ts'
import { measureSteadily, type SteadyRun } from '../support/steady-run.ts'

const PER_SECOND = 200

export const latency: Figure = {
  name: 'latency',
  title: 'From request to arrival',
  about: `${PER_SECOND} events a second, each its own request, one plugin subscribed; the time from just before the event is posted to its arrival at the receiver, by one clock (\`ROLES=api,worker\`, one process). Ceiling: the same load posted straight to the receiver.`,
  async measure(stage) {
    const seconds = stage.pick(20, 3)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: `${receiver.url}/latency/ours`, event: 'order.created' }],
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    const steady = await stage.helper<Steady>('steady')
    const run = (url: string, group: string, forSeconds: number): SteadyRun => ({
      steady,
      receiver,
      pool: database.pool,
      group,
      load: {
        url,
        senders: [{ headers: stage.headers(tenantId), event: 'order.created' }],
        perSecond: PER_SECOND,
        seconds: forSeconds,
      },
    })
    await measureSteadily(run(`${service.url}/api/events`, 'ours', stage.pick(2, 1)))
    const direct = await measureSteadily(run(`${receiver.url}/latency/direct`, 'direct', stage.pick(5, 1)))
    const ours = await measureSteadily(run(`${service.url}/api/events`, 'ours', seconds))
    return (['p50', 'p95', 'p99'] as const).map((p): Row => ({
      name: `request to arrival at ${PER_SECOND} events/s, ${p}`,
      ours: ours[p],
      ceiling: direct[p],
      unit: 'ms',
      target: p === 'p95' ? { of: 'ours', atMost: 20 } : null,
    }))
  },
}
