import type { Commands as PlainInserts } from '../processes/plain-inserts.ts'
import type { Commands as Requester } from '../processes/requester.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { type Figure, interleave, type Row, rowOf } from '../support/figure.ts'
import { bodyOf, seedPlugins } from '../support/seed.ts'
import { eventOf, rate } from './intake-single.ts'

const EVENT_BYTES = 300
const BATCHES = [500, 100]
const CONNECTIONS = 4

export const intakeBatch: Figure = {
  name: 'intake-batch',
  title: 'Intake in batches',
  about: `Batches of ${EVENT_BYTES}-byte events over ${CONNECTIONS} connections, one plugin subscribed (\`ROLES=api\`). Ceiling: the same rows written into the same tables by plain multi-row inserts, one statement a batch, ${CONNECTIONS} connections.`,
  async measure(stage) {
    const seconds = stage.pick(3, 0.6)
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const [pluginId = ''] = await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: 'http://127.0.0.1:9/', event: 'product.updated' }],
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api' })
    const requester = await stage.helper<Requester>('requester')
    const inserter = await stage.helper<PlainInserts>('plain-inserts')
    const event = eventOf(EVENT_BYTES)
    const rows: Row[] = []
    for (const batch of BATCHES) {
      const ours = async (forSeconds: number): Promise<number> =>
        batch *
        (await rate(requester, {
          url: `${service.url}/api/events`,
          headers: stage.headers(tenantId),
          body: `{"events":[${Array(batch).fill(event).join(',')}]}`,
          connections: CONNECTIONS,
          seconds: forSeconds,
        }))
      const ceiling = (forSeconds: number): Promise<number> =>
        inserter.call('run', {
          databaseUrl: database.url,
          tenantId,
          pluginId,
          event: 'product.updated',
          body: bodyOf(tenantId, EVENT_BYTES),
          rows: batch,
          connections: CONNECTIONS,
          seconds: forSeconds,
        })
      const warmUp = stage.pick(1, 0.3)
      await ours(warmUp)
      await ceiling(warmUp)
      const oursCpu = new CpuMeter(stage.bed, { api: service.pid, load: requester.pid })
      const ceilingCpu = new CpuMeter(stage.bed, { inserts: inserter.pid })
      const itemsOf = (perSecond: number): number => perSecond * seconds
      const measured = await interleave(stage, stage.pick(3, 1), {
        ceiling: () => ceilingCpu.during(() => ceiling(seconds), itemsOf),
        ours: () => oursCpu.during(() => ours(seconds), itemsOf),
      })
      rows.push(
        rowOf(measured, {
          name: `intake, batches of ${batch}`,
          unit: 'events/s',
          target: { of: 'ratio', atLeast: 0.5 },
          cpu: { ours: oursCpu.costs(), ceiling: ceilingCpu.costs() },
        }),
      )
    }
    return rows
  },
}
