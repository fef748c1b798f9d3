import type { Commands as Steady } from '../processes/steady.ts'
import type { Figure, Row } from '../support/figure.ts'
import { actionStep, seedActor, seedFlow } from '../support/flow-seed.ts'
import { measureSteadily, type SteadyRun } from '../support/steady-run.ts'

const PER_SECOND = 100

export const flowLatency: Figure = {
  name: 'flow-latency',
  title: 'From event to first action',
  about: `${PER_SECOND} events a second, each its own request, each starting a flow; the time from just before the event is posted to the arrival of the flow's first action at the receiver, by one clock (\`ROLES=api,worker\`, one process). Ceiling: the same load posted straight to the receiver.`,
  async measure(stage) {
    const seconds = stage.pick(20, 3)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const url = `${receiver.url}/latency/ours`
    const { masterKey } = stage.bed
    const actor = await seedActor(database.pool, { masterKey, tenantId, url })
    await seedFlow(database.pool, tenantId, {
      first: actionStep(actor, 'end', { total: 1, sent_at: '{{trigger.sent_at}}' }),
    })
    const service = await stage.service({
      databaseUrl: database.url,
      roles: 'api,worker',
      env: { FLOW_MAX_STARTS_PER_MINUTE: '1000000' },
    })
    const steady = await stage.helper<Steady>('steady')
    const run = (to: string, group: string, forSeconds: number): SteadyRun => ({
      steady,
      receiver,
      pool: database.pool,
      group,
      load: {
        url: to,
        senders: [{ headers: stage.headers(tenantId), event: 'order.created' }],
        perSecond: PER_SECOND,
        seconds: forSeconds,
      },
    })
    await measureSteadily(run(`${service.url}/api/events`, 'ours', stage.pick(2, 1)))
    const direct = await measureSteadily(run(`${receiver.url}/latency/direct`, 'direct', stage.pick(5, 1)))
    const ours = await measureSteadily(run(`${service.url}/api/events`, 'ours', seconds))
    return (['p50', 'p95', 'p99'] as const).map((p): Row => ({
      name: `event to first action at ${PER_SECOND} events/s, ${p}`,
      ours: ours[p],
      ceiling: direct[p],
      unit: 'ms',
      target: p === 'p95' ? { of: 'ours', atMost: 30 } : null,
    }))
  },
}
