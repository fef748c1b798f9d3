import { sql } from 'kysely'
import t from 'tap'
import { STATS, type StatsKind } from '#infra/statistics/tables.ts'
import { HISTOGRAM_CLASSES } from '#lib/histogram.ts'
import { readSeries } from '#modules/stats/service.ts'
import { startApp } from '#test/support/app.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { DAY_MS } from './support.ts'

const service = await startApp(t)
const { app, db } = service

const DAYS = 30
const MIDNIGHT = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS)
/** Rows of each day, and of each hour that the day is made of. */
const ROWS = 100

/** A row for each of 10 by 10 keys in each step of a month that ends at midnight. */
async function seedMonth(kind: StatsKind, tenantId: string, spanSeconds: number): Promise<void> {
  const { name, counts, keys } = STATS[kind]
  const columns = Object.keys(keys)
  const values: Record<string, string> = {
    plugin_id: "(lpad(x::text, 8, '0') || '-0000-7000-8000-000000000000')::uuid",
    flow_id: "(lpad(x::text, 8, '0') || '-0000-7000-8000-000000000000')::uuid",
    plugin: "'plugin-' || x",
    event: "'order.type_' || y",
    action: "'action_' || y",
    error_class: "case when x = 1 and y = 1 then 'timeout' else '' end",
    error_code:
      kind === 'executions' ? "'code_' || y" : "case when x = 1 and y = 1 then 'timeout' else '' end",
  }
  await sql`
    insert into ${sql.table(name)} (tenant_id, span, bucket, ${sql.join([...columns, ...counts, 'latency'].map((column) => sql.ref(column)))})
    select ${tenantId}::uuid, ${spanSeconds}::int, bucket, ${sql.raw(columns.map((column) => values[column]).join(', '))},
      ${sql.raw(counts.map(() => '1').join(', '))}, array_fill(1, array[${sql.lit(HISTOGRAM_CLASSES)}])
    from generate_series(${MIDNIGHT}::timestamptz - ${DAYS}::int * interval '1 day',
        ${MIDNIGHT}::timestamptz - interval '1 second', ${spanSeconds}::int * interval '1 second') bucket,
      generate_series(1, 10) x, generate_series(1, 10) y`.execute(db)
}

t.test('a month is read by the rows of its days, each of them once, however it is grouped', async (t) => {
  const { id: tenantId } = service.tenant()
  const { id: otherId } = service.tenant()
  const groups: Record<StatsKind, (string | null)[]> = {
    deliveries: [null, 'plugin_id', 'event', 'error_class'],
    executions: [null, 'flow_id', 'error_code'],
    actions: [null, 'plugin', 'action', 'error_code'],
  }
  for (const kind of Object.keys(groups) as StatsKind[]) {
    const { name, counts } = STATS[kind]
    await seedMonth(kind, tenantId, 86_400)
    await seedMonth(kind, tenantId, 3_600)
    await seedMonth(kind, otherId, 86_400)
    await db.insertInto('stats_rollups').values({ name, until: MIDNIGHT }).execute()
    await analyze(db, name)
    for (const group of groups[kind]) {
      const since = new Date(MIDNIGHT.getTime() - DAYS * DAY_MS)
      const range = { step: '1d' as const, stepSeconds: 86_400, since, until: MIDNIGHT }
      let total = 0
      const reads = await rowsRead(app.pools.api, async (api) => {
        const series = await readSeries(api, tenantId, { kind, range, where: [], group })
        for (const { totals } of series) total += Number(totals[counts[0] ?? ''])
      })
      const said = `${kind} by ${group}`
      t.equal(total, DAYS * ROWS, said)
      // Twice, where an index and then its rows are looked up.
      t.ok(Math.max(...reads) <= 2 * DAYS * ROWS + 10, `${said}: ${reads.join()}`)
    }
  }
})
