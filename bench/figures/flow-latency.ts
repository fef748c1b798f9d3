import type { Figure } from '../support/figure.ts'
import { actionStep, seedActor, seedFlow } from '../support/flow-seed.ts'
import { measureLatency } from '../support/latency-rows.ts'

const PER_SECOND = 100

export const flowLatency: Figure = {
  name: 'flow-latency',
  title: 'From event to first action',
  about: `${PER_SECOND} events a second, each its own request that starts a flow: from the post to the arrival of the flow's first action. Ceiling: posted straight to the receiver.`,
  async measure(stage) {
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
    return measureLatency(stage, {
      name: 'event to first action',
      tenantId,
      serviceUrl: service.url,
      receiver,
      pool: database.pool,
      perSecond: PER_SECOND,
      atMost: 30,
    })
  },
}
