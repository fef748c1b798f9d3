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
  { name: 'a burst of 100 of each key', deliveries: 50_000, keys: 50, target: null },
  { name: 'every delivery of a key of its own', deliveries: 10_000, keys: 1_000, target: null },
]

export const coalescing: Figure = {
  name: 'coalescing',
  title: 'Coalescing',
  about: `A prefilled queue for ${PLUGINS} plugins that coalesce, all windows over, ${IN_FLIGHT} in flight, drained by one worker: deliveries that ended a second, sent or superseded. Ceiling: the same queue without coalescing.`,
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
  const pluginsOf = (coalesce: boolean): Promise<string[]> =>
    seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: Array.from({ length: PLUGINS }, () => ({
        url: `${receiver.url}/count`,
        event: 'bench.seeded',
      })),
      maxInFlight: IN_FLIGHT,
      status: 'paused',
      coalesce,
    })
  const plain = await pluginsOf(false)
  const coalesced = await pluginsOf(true)
  await stage.service({ databaseUrl: database.url, roles: 'worker' })
  const count = stage.pick(deliveries, 600)
  const all = keys * PLUGINS
  const drain = async (plugins: readonly string[], coalesces: boolean): Promise<number> => {
    const options = { tenantId, plugins, events: count, fanOut: 1, body }
    // Event n goes to plugin n % 10: keys are counted over all of them.
    await seedQueue(database.pool, coalesces ? { ...options, coalesceKeys: all } : options)
    return drainRate({
      database,
      receiver,
      plugins,
      count,
      arrivals: coalesces ? Math.min(all, count) : count,
    })
  }
  await drain(plain, false)
  await drain(coalesced, true)
  const measured = await interleave(stage, stage.pick(3, 1), {
    ceiling: () => drain(plain, false),
    ours: () => drain(coalesced, true),
  })
  return rowOf(measured, { name: `coalescing, ${name}`, unit: 'deliveries/s', target })
}
