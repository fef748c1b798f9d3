import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { HISTOGRAM_CLASSES } from '#lib/histogram.ts'
import { histogramsOf, SPANS, type StatsTable } from './tables.ts'

/** A period of a tenant's, in steps of one of the spans. */
export interface StatsPeriod {
  table: StatsTable
  tenantId: string
  /** Both on a border of the step. */
  since: Date
  until: Date
  stepSeconds: number
  /** Conditions on the columns of the table. */
  where: readonly RawBuilder<unknown>[]
}

/** Statistics of a tenant between two times. */
export interface StatsQuery extends StatsPeriod {
  /** The column by which series are told apart; null: there is one. */
  group: string | null
  /** The column whose values are counted in each point, but for the empty one. */
  detail: string
  /** The count by which they are. */
  detailCount: string
  /** The counts of which a series' size is made. */
  weight: readonly string[]
  /** Series at most; the rest is `other`. */
  maxSeries: number
}

export interface StatsCell {
  /** Epoch seconds. */
  t: number
  /** Null: one of the others. */
  key: string | null
  /** How often each detail came; one that is empty is none. */
  details: Readonly<Record<string, number>>
  counts: readonly number[]
  latency: readonly number[]
  /** Empty where the table keeps none. */
  queueAge: readonly number[]
}

export interface StatsRange {
  span: number
  since: Date
  until: Date
}

/**
 * The rows that give the range: rolled up as far as they are, finer ones from there.
 * @param rolledUntil null: nothing has been rolled up yet
 */
export function rangesOf(
  { since, until, stepSeconds }: Pick<StatsPeriod, 'since' | 'until' | 'stepSeconds'>,
  rolledUntil: Date | null,
): StatsRange[] {
  const ranges: StatsRange[] = []
  let from = since.getTime()
  for (const { seconds } of SPANS.toReversed()) {
    if (seconds > stepSeconds) continue
    const ms = seconds * 1_000
    const rolled = seconds === 60 ? Infinity : Math.floor((rolledUntil?.getTime() ?? 0) / ms) * ms
    const to = Math.min(until.getTime(), rolled)
    if (to <= from) continue
    ranges.push({ span: seconds, since: new Date(from), until: new Date(to) })
    from = to
  }
  return ranges
}

/** Names the mark of a tenant that could not be rolled up as far as the others. */
export function markOf(table: StatsTable, tenantId: string): string {
  return `${table.name} ${tenantId}`
}

/** Returns how far a table is rolled up, of a tenant or of those without a mark of their own; null: not at all. */
export async function selectRolledUntil(
  db: Kysely<DB>,
  table: StatsTable,
  tenantId: string | null,
): Promise<Date | null> {
  const names = [table.name, ...(tenantId === null ? [] : [markOf(table, tenantId)])]
  const rows = await db
    .selectFrom('stats_rollups')
    .select(['name', 'until'])
    .where('name', 'in', names)
    .execute()
  if (!rows.some(({ name }) => name === table.name)) return null
  return new Date(Math.min(...rows.map(({ until }) => until.getTime())))
}

/**
 * One cell for each step and series in which something happened. The rows are read once: the largest series are found among the
 * sums, and those of all others are added up. Details are counted apart, by the one count that they are asked for: with a cell
 * for each of them there would be as many cells as rows, each with all sums.
 *
 * A stored array is unpacked anew for each element that is asked for, so each row's is unpacked once; keys become text after they
 * are added up.
 */
export async function selectCells(db: Kysely<DB>, query: StatsQuery): Promise<StatsCell[]> {
  const { table, stepSeconds, group, detail, detailCount, weight, maxSeries } = query
  const parts = await partsOf(db, query)
  const histograms = histogramsOf(table)
  const classes = Array.from({ length: histograms.length * HISTOGRAM_CLASSES }, (_, index) => `h${index + 1}`)
  const columns = [...table.counts, ...classes]
  const partSums = [
    ...table.counts.map((count) => sql`sum(${sql.ref(count)}) as ${sql.ref(count)}`),
    ...classes.map((name, index) => sql`sum(histograms[${sql.lit(index + 1)}]) as ${sql.ref(name)}`),
  ]
  const counts = table.counts.map((name) => sql.ref(name))
  const cellSums = columns.map((name) => sql`sum(${sql.ref(name)}) as ${sql.ref(name)}`)
  const refs = sql.join(columns.map((name) => sql.ref(name)))
  const size = sql.join(
    weight.map((count) => sql.ref(count)),
    sql` + `,
  )
  const { rows } = await sql<{
    t: number
    key: string | null
    details: Record<string, number> | null
    sums: string
  }>`
    with part as materialized (
      select date_bin(${stepSeconds}::int * interval '1 second', bucket, to_timestamp(0)) as t,
        ${group === null ? sql`''::text` : sql.ref(group)} as key, ${sql.ref(detail)} as detail, ${sql.join(counts)},
        array_cat(latency, ${histograms.length > 1 ? sql`queue_age` : sql`null::int[]`}) as histograms
      from (${parts}) stored
    ), cell as materialized (
      select t, key, ${sql.join(partSums)} from part group by t, key
    ), largest as materialized (
      select key from cell group by key order by sum(${size}) desc, key limit ${maxSeries}
    ), shown as (
      select t, false as is_other, key::text, ${refs} from cell where key in (select key from largest)
      union all
      select t, true, '', ${sql.join(cellSums)} from cell where key not in (select key from largest) group by t
    ), detailed as (
      select t, key not in (select key from largest) as is_other, key, detail, sum(${sql.ref(detailCount)}) as count
      from part where detail <> '' and ${sql.ref(detailCount)} > 0 group by t, key, detail
    ), details as (
      select t, is_other, key, json_object_agg(detail, count) as details from (
        select t, is_other, case when is_other then '' else key::text end as key, detail, sum(count)::int as count
        from detailed group by 1, 2, 3, 4
      ) each group by t, is_other, key
    )
    select extract(epoch from shown.t)::int as t, case when not is_other then key end as key, details,
      concat_ws(',', ${refs}) as sums
    from shown left join details using (t, is_other, key) order by 1`.execute(db)
  return rows.map(({ sums, details, ...cell }) => {
    const numbers = sums.split(',').map(Number)
    const { length } = table.counts
    return {
      ...cell,
      details: details ?? {},
      counts: numbers.slice(0, length),
      latency: numbers.slice(length, length + HISTOGRAM_CLASSES),
      queueAge: numbers.slice(length + HISTOGRAM_CLASSES),
    }
  })
}

/** The rows of a period as a query: from the coarsest that are there. */
export async function partsOf(db: Kysely<DB>, period: StatsPeriod): Promise<RawBuilder<unknown>> {
  const { table, tenantId, where } = period
  const ranges = rangesOf(period, await selectRolledUntil(db, table, tenantId))
  const conditions = where.map((condition) => sql` and ${condition}`)
  return sql.join(
    ranges.map(
      ({ span, since, until }) => sql`
        select * from ${sql.table(table.name)}
        where tenant_id = ${tenantId} and span = ${sql.lit(span)} and bucket >= ${since} and bucket < ${until}
          ${conditions.length === 0 ? sql`` : sql.join(conditions, sql``)}`,
    ),
    sql` union all `,
  )
}
