import type { Commands as Recorder } from '../processes/recorder.ts'
import type { Commands as TimedRequests } from '../processes/timed-requests.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { drainRate } from '../support/delivery-run.ts'
import type { CpuCosts, Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue } from '../support/seed.ts'
import type { FigureDatabase, Stage } from '../support/stage.ts'

const PLUGINS = 10
const IN_FLIGHT = 16
const WRITTEN_EVERY_SECONDS = 5

const THOUSAND = 1_000

const MONTH_DAYS = 30
const DAY_MS = 86_400_000
const MONTH_PLUGINS = 20
const MONTH_TYPES = 20
const QUESTIONS = {
  deliveries: ['plugin', 'event', 'error_class'],
  executions: ['flow', 'error'],
  actions: ['plugin', 'action', 'error'],
} as const

export const statistics: Figure = {
  name: 'statistics',
  title: 'What statistics cost',
  about: `CPU time of adding one outcome to the sums, and of writing them every ${WRITTEN_EVERY_SECONDS} s, as a share of what the worker and Postgres need for a delivery; intake counts nothing. And \`GET /api/stats/…\` over a month, by day, with each \`group\`: ${MONTH_PLUGINS} plugins or flows with ${MONTH_TYPES} event types, actions or errors each, the slowest of them.`,
  async measure(stage) {
    return [...(await measureCost(stage)), ...(await measureReading(stage))]
  },
}

/** @returns no row on a machine that does not tell CPU time */
async function measureCost(outer: Stage): Promise<Row[]> {
  await using stage = outer.inner()
  const tenantId = crypto.randomUUID()
  const database = await stage.database()
  const receiver = await stage.receiver()
  const plugins = await seedPlugins(database.pool, {
    masterKey: stage.bed.masterKey,
    tenantId,
    plugins: Array.from({ length: PLUGINS }, () => ({ url: `${receiver.url}/count`, event: 'bench.seeded' })),
    maxInFlight: IN_FLIGHT,
    status: 'paused',
  })
  const service = await stage.service({ databaseUrl: database.url, roles: 'worker' })
  const recorder = await stage.helper<Recorder>('recorder')
  const count = stage.pick(20_000, 600)
  const body = bodyOf(tenantId, 300)
  const drain = async (): Promise<number> => drainRate({ database, receiver, plugins, count })
  const seed = async (): Promise<number> =>
    seedQueue(database.pool, { tenantId, plugins, events: count, fanOut: 1, body })
  await seed()
  const perSecond = await drain()
  const delivering = new CpuMeter(stage.bed, { worker: service.pid })
  const counting = new CpuMeter(stage.bed, { recorder: recorder.pid })
  const perWrite = Math.ceil(perSecond * WRITTEN_EVERY_SECONDS)
  const counted = stage.pick(20 * perWrite, perWrite)
  const outcomes = { databaseUrl: database.url, tenantId, plugins, event: 'bench.seeded', perWrite }
  await recorder.call('run', { ...outcomes, count: perWrite })
  for (let round = 1; round <= stage.pick(3, 1); round++) {
    await seed()
    await delivering.during(drain, () => count)
    await counting.during(
      () => recorder.call('run', { ...outcomes, count: counted }),
      // Costs are whole microseconds, and one outcome's is less than one: that of a thousand is taken.
      () => counted / THOUSAND,
    )
  }
  const delivery = sumOf(delivering.costs())
  if (delivery === 0) return []
  const statistics = sumOf(counting.costs()) / THOUSAND
  return [
    {
      name: 'statistics, of the CPU time of a delivery',
      ours: (100 * statistics) / delivery,
      ceiling: null,
      unit: '%',
      target: { of: 'ours', atMost: 3 },
      detail: { delivery_us: delivery, statistics_us: statistics },
    },
  ]
}

/** Microseconds of all processes. */
function sumOf(costs: CpuCosts): number {
  return Object.values(costs).reduce((sum, each) => sum + each, 0)
}

async function measureReading(outer: Stage): Promise<Row[]> {
  await using stage = outer.inner()
  const tenantId = crypto.randomUUID()
  const database = await stage.database()
  const until = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS)
  const since = new Date(until.getTime() - MONTH_DAYS * DAY_MS)
  await seedMonth(database, tenantId, { since, until })
  const service = await stage.service({ databaseUrl: database.url, roles: 'api' })
  const caller = await stage.helper<TimedRequests>('timed-requests')
  const rows: Row[] = []
  for (const [kind, groups] of Object.entries(QUESTIONS)) {
    const medians: Record<string, number> = {}
    for (const group of groups) {
      const query = new URLSearchParams({
        since: since.toISOString(),
        until: until.toISOString(),
        step: '1d',
        group,
      })
      const ask = (count: number) =>
        caller.call('run', {
          method: 'GET',
          url: `${service.url}/api/stats/${kind}?${query.toString()}`,
          headers: stage.headers(tenantId),
          body: null,
          count,
          connections: 1,
          expect: '"points":[{',
        })
      await ask(stage.pick(10, 2))
      medians[group] = (await ask(stage.pick(100, 5))).p50
    }
    rows.push({
      name: `a month of ${kind}, p50`,
      ours: Math.max(...Object.values(medians)),
      ceiling: null,
      unit: 'ms',
      target: { of: 'ours', atMost: 50 },
      detail: medians,
    })
  }
  return rows
}

/** Days as retention rolls them up. */
async function seedMonth(
  { pool }: FigureDatabase,
  tenantId: string,
  { since, until }: { since: Date; until: Date },
): Promise<void> {
  const id = "(lpad(x::text, 8, '0') || '-0000-7000-8000-000000000000')::uuid"
  const tables = {
    delivery_stats: [
      'plugin_id, event, error_class, attempts, sent, first_try, retried, failed, queue_age',
      `${id}, 'order.type_' || y, '', 100, 100, 100, 0, 0, array_fill(4, array[24])`,
    ],
    execution_stats: [
      'flow_id, error_code, completed, failed, cancelled, timed_out, queue_age',
      `${id}, 'code_' || y, 0, 100, 0, 0, array_fill(4, array[24])`,
    ],
    action_stats: [
      'action, plugin, error_code, succeeded, failed, accepted',
      `'action_' || y, 'plugin-' || x, '', 100, 0, 0`,
    ],
  }
  await pool.query('insert into tenants (id) values ($1) on conflict do nothing', [tenantId])
  for (const [table, [columns, values]] of Object.entries(tables)) {
    await pool.query(
      `insert into ${table} (tenant_id, span, bucket, ${columns}, latency)
       select $1, 86400, day, ${values}, array_fill(4, array[24])
       from generate_series($2::timestamptz, $3::timestamptz - interval '1 second', interval '1 day') day,
         generate_series(1, $4::int) x, generate_series(1, $5::int) y`,
      [tenantId, since, until, MONTH_PLUGINS, MONTH_TYPES],
    )
    await pool.query('insert into stats_rollups (name, until) values ($1, $2)', [table, until])
    await pool.query(`vacuum (analyze) ${table}`)
  }
}
