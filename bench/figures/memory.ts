import { setTimeout as delay } from 'node:timers/promises'
import { type Figure } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue, setStatus } from '../support/seed.ts'
import { median } from '../support/stats.ts'
import { residentMb } from '../support/usage.ts'

const PLUGINS = 10
const SAMPLE_MS = 100
const TIMEOUT_MS = 120_000

export const memory: Figure = {
  name: 'memory',
  title: 'Memory of a worker',
  about: `Resident memory of a worker over 200,000 deliveries (fan-out ${PLUGINS}, 0.3 KB): the median between 160,000 and 200,000, beside that between 40,000 and 60,000.`,
  async measure(stage) {
    const total = stage.pick(200_000, 8_000)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const plugins = await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: Array.from({ length: PLUGINS }, () => ({
        url: `${receiver.url}/count`,
        event: 'bench.seeded',
      })),
      maxInFlight: 16,
      status: 'paused',
    })
    await seedQueue(database.pool, {
      tenantId,
      plugins,
      events: total / PLUGINS,
      fanOut: PLUGINS,
      body: bodyOf(tenantId, 300),
    })
    stage.say(`${total} deliveries queued`)
    const service = await stage.service({ databaseUrl: database.url, roles: 'worker' })
    const idle = await residentMb(service.pid)
    await setStatus(database.pool, plugins, 'active')
    const early: number[] = []
    const late: number[] = []
    const endsAt = performance.now() + TIMEOUT_MS
    for (;;) {
      const [received, resident] = await Promise.all([receiver.call('count', null), residentMb(service.pid)])
      const share = received / total
      // The first sample after a mark counts whatever comes: a fast machine may pass between two samples.
      if (share >= 0.2 && (share <= 0.3 || early.length === 0)) early.push(resident)
      if (share >= 0.8) late.push(resident)
      if (received >= total) break
      if (performance.now() > endsAt) throw new Error(`${received} of ${total} deliveries arrived in time`)
      await delay(SAMPLE_MS)
    }
    return [
      {
        name: `worker memory after ${total.toLocaleString('en')} deliveries, beside ${(total / 4).toLocaleString('en')}`,
        ours: median(late),
        ceiling: median(early),
        unit: 'MB',
        target: { of: 'ratio', atMost: 1.2 },
        detail: { idle_mb: Math.round(idle), early: early.map(Math.round), late: late.map(Math.round) },
      },
    ]
  },
}
