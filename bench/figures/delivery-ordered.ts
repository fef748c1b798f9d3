import { drainRate } from '../support/delivery-run.ts'
import { type Figure, interleave, type Row, rowOf } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue } from '../support/seed.ts'
import type { Stage } from '../support/stage.ts'

const PLUGINS = 10
const IN_FLIGHT = 16

interface Case {
  name: string
  deliveries: number
  /** For each plugin. */
  keys: number
  target: Row['target']
}

const CASES: readonly Case[] = [
  { name: 'many keys', deliveries: 20_000, keys: 2_000, target: { of: 'ratio', atLeast: 0.8 } },
  { name: '100 keys a plugin', deliveries: 10_000, keys: 100, target: null },
  { name: '1 key a plugin', deliveries: 2_000, keys: 1, target: null },
]

export const deliveryOrdered: Figure = {
  name: 'delivery-ordered',
  title: 'Delivery in order',
  about: `A prefilled queue for ${PLUGINS} plugins with \`ordering: key\`, ${IN_FLIGHT} in flight, drained by one worker. Ceiling: the same queue without ordering.`,
  async measure(stage) {
    const rows: Row[] = []
    for (const one of CASES) rows.push(await measureCase(stage, one))
    return rows
  },
}

async function measureCase(outer: Stage, { name, deliveries, keys, target }: Case): Promise<Row> {
  await using stage = outer.inner()
  const tenantId = crypto.randomUUID()
  const body = bodyOf(tenantId, 300)
  const database = await stage.database()
  const receiver = await stage.receiver()
  const pluginsOf = (ordering: 'none' | 'key'): Promise<string[]> =>
    seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: Array.from({ length: PLUGINS }, () => ({
        url: `${receiver.url}/count`,
        event: 'bench.seeded',
      })),
      maxInFlight: IN_FLIGHT,
      status: 'paused',
      ordering,
    })
  const plain = await pluginsOf('none')
  const ordered = await pluginsOf('key')
  await stage.service({ databaseUrl: database.url, roles: 'worker' })
  const count = stage.pick(deliveries, 600)
  const drain = async (plugins: readonly string[], isOrdered: boolean): Promise<number> => {
    const options = { tenantId, plugins, events: count, fanOut: 1, body }
    // Event n goes to plugin n % 10: keys are counted over all of them.
    await seedQueue(database.pool, isOrdered ? { ...options, keys: keys * PLUGINS } : options)
    return drainRate({ database, receiver, plugins, count })
  }
  await drain(plain, false)
  await drain(ordered, true)
  const measured = await interleave(stage, stage.pick(3, 1), {
    ceiling: () => drain(plain, false),
    ours: () => drain(ordered, true),
  })
  return rowOf(measured, { name: `delivery in order, ${name}`, unit: 'deliveries/s', target })
}
