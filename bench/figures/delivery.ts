import type { Commands as PlainPosts } from '../processes/plain-posts.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { drainRate } from '../support/delivery-run.ts'
import { type Figure, interleave, type Row, rowOf } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue } from '../support/seed.ts'
import type { Stage } from '../support/stage.ts'

interface Case {
  fanOut: number
  bytes: number
  /** Null: the default. */
  maxInFlight: number | null
}

const PLUGINS = 10
const DEFAULT_IN_FLIGHT = 4
const CASES: readonly Case[] = [
  { fanOut: 1, bytes: 300, maxInFlight: 16 },
  { fanOut: 10, bytes: 300, maxInFlight: 16 },
  { fanOut: 1, bytes: 20_000, maxInFlight: 16 },
  { fanOut: 10, bytes: 20_000, maxInFlight: 16 },
  { fanOut: 10, bytes: 300, maxInFlight: null },
]
/** The fastest of those that were tried (32, 64, 128, 256). */
const PLAIN_CONNECTIONS = 64
/** Deliveries in a round: enough that taking up the lanes and warming up do not show. */
const ROUND_COUNT = 20_000
/** Of bodies, in a round. */
const STORED_MAX_BYTES = 120_000_000

export const delivery: Figure = {
  name: 'delivery',
  title: 'Delivery',
  about: `A prefilled queue for ${PLUGINS} plugins, drained by one worker (\`ROLES=worker\`) until the last outcome is in the database. Fan-out 1: each event goes to one of them; 10: to all. Ceiling: signed undici POSTs of the same body to the same receiver, ${PLAIN_CONNECTIONS} connections.`,
  async measure(stage) {
    const rows: Row[] = []
    for (const one of CASES) rows.push(await measureCase(stage, one))
    return rows
  },
}

async function measureCase(outer: Stage, { fanOut, bytes, maxInFlight }: Case): Promise<Row> {
  await using stage = outer.inner()
  const name = `delivery, fan-out ${fanOut}, ${bytes / 1_000} KB, ${maxInFlight ?? `default ${DEFAULT_IN_FLIGHT}`} in flight`
  const tenantId = crypto.randomUUID()
  const body = bodyOf(tenantId, bytes)
  const database = await stage.database()
  const receiver = await stage.receiver()
  const url = `${receiver.url}/count`
  const plugins = await seedPlugins(database.pool, {
    masterKey: stage.bed.masterKey,
    tenantId,
    plugins: Array.from({ length: PLUGINS }, () => ({ url, event: 'bench.seeded' })),
    maxInFlight,
    status: 'paused',
  })
  const service = await stage.service({ databaseUrl: database.url, roles: 'worker' })
  const plain = await stage.helper<PlainPosts>('plain-posts')
  const ceiling = (count: number): Promise<number> =>
    plain.call('run', { url, body, count, connections: PLAIN_CONNECTIONS })
  const drain = async (events: number): Promise<number> => {
    const count = await seedQueue(database.pool, { tenantId, plugins, events, fanOut, body })
    return drainRate({ database, receiver, plugins, count })
  }

  const largest = Math.min(ROUND_COUNT, (STORED_MAX_BYTES / bytes) * fanOut)
  const events = Math.ceil(stage.pick(largest, 600) / fanOut)
  const warmUp = Math.ceil(events / 2)
  await drain(warmUp)
  await ceiling(warmUp * fanOut)
  const oursCpu = new CpuMeter(stage.bed, { worker: service.pid, receiver: receiver.pid })
  const ceilingCpu = new CpuMeter(stage.bed, { posts: plain.pid, receiver: receiver.pid })
  stage.say(`${name}: rounds of ${events * fanOut} deliveries`)
  const size = events * fanOut
  const measured = await interleave(stage, stage.pick(3, 1), {
    ceiling: () =>
      ceilingCpu.during(
        () => ceiling(size),
        () => size,
      ),
    ours: async () => {
      await seedQueue(database.pool, { tenantId, plugins, events, fanOut, body })
      return oursCpu.during(
        () => drainRate({ database, receiver, plugins, count: size }),
        () => size,
      )
    },
  })
  return rowOf(measured, {
    name,
    unit: 'deliveries/s',
    target: { of: 'ratio', atLeast: 0.5 },
    cpu: { ours: oursCpu.costs(), ceiling: ceilingCpu.costs() },
  })
}
