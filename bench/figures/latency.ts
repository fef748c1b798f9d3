import type { Figure } from '../support/figure.ts'
import { measureLatency } from '../support/latency-rows.ts'
import { seedPlugins } from '../support/seed.ts'

const PER_SECOND = 200

export const latency: Figure = {
  name: 'latency',
  title: 'From request to arrival',
  about: `${PER_SECOND} events a second, each its own request, one plugin subscribed: from the post to the arrival at the receiver. Ceiling: posted straight to the receiver.`,
  async measure(stage) {
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: `${receiver.url}/latency/ours`, event: 'order.created' }],
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    return measureLatency(stage, {
      name: 'request to arrival',
      tenantId,
      serviceUrl: service.url,
      receiver,
      pool: database.pool,
      perSecond: PER_SECOND,
      atMost: 20,
    })
  },
}
