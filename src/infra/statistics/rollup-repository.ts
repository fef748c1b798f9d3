import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { HISTOGRAM_CLASSES } from '#lib/histogram.ts'
import { markOf } from './read-repository.ts'
import { histogramsOf, SPANS, type StatsTable } from './tables.ts'

/** Tenants with rows of this span, behind `afterId`, found by hopping over the key. */
export async function selectTenants(
  db: Kysely<DB>,
  table: StatsTable,
  afterId: string,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    with recursive hop as (
      (select tenant_id from ${sql.table(table.name)} where tenant_id > ${afterId} order by tenant_id limit 1)
      union all
      select next.tenant_id from hop cross join lateral (
        select tenant_id from ${sql.table(table.name)} where tenant_id > hop.tenant_id order by tenant_id limit 1
      ) next
    )
    select tenant_id from hop limit ${limit}`.execute(db)
  return rows.map((row) => row.tenant_id)
}

/**
 * Returns the start of the oldest row of these tenants that is to be rolled up: all that begin at `since` or later,
 * of all spans but the coarsest.
 */
export async function selectOldest(
  db: Kysely<DB>,
  table: StatsTable,
  tenantIds: readonly string[],
  since: Date,
): Promise<Date | null> {
  const spans = SPANS.slice(0, -1).map(({ seconds }) => seconds)
  const { rows } = await sql<{ oldest: Date | null }>`
    select min(first.bucket) as oldest
    from unnest(${[...tenantIds]}::uuid[]) as tenant (id) cross join unnest(${spans}::int[]) as finer (span)
    cross join lateral (
      select bucket from ${sql.table(table.name)}
      where tenant_id = tenant.id and span = finer.span and bucket >= ${since}
      order by bucket limit 1
    ) first`.execute(db)
  return rows[0]?.oldest ?? null
}

export interface RollUpRange {
  span: number
  since: Date
  until: Date
}

/** Rows of `span` are made anew from the finer ones of the span before: doing it twice changes, and writes, nothing. */
export function rollingUp(
  table: StatsTable,
  tenantIds: readonly string[],
  range: RollUpRange,
): RawBuilder<unknown> {
  const finer = SPANS[SPANS.findIndex(({ seconds }) => seconds === range.span) - 1]?.seconds ?? 60
  const keys = Object.keys(table.keys)
  const primary = ['tenant_id', 'span', 'bucket', ...keys]
  const histograms = histogramsOf(table)
  const figures = [...table.counts, ...histograms]
  const columns = [...primary, ...figures]
  const names = (list: readonly string[]) => sql.join(list.map((name) => sql.ref(name)))
  const classes = Array.from({ length: HISTOGRAM_CLASSES }, (_, index) => sql.lit(index + 1))
  const sums = histograms.map(
    (name) => sql`array[${sql.join(classes.map((each) => sql`sum(${sql.ref(name)}[${each}])::int`))}]`,
  )
  return sql`
    insert into ${sql.table(table.name)} as s (${names(columns)})
    select tenant_id, ${range.span}::int, to_timestamp(floor(extract(epoch from bucket) / ${range.span}::int) * ${range.span}::int) as start,
      ${names(keys)}, ${sql.join(table.counts.map((count) => sql`sum(${sql.ref(count)})::int`))},
      ${sql.join(sums)}
    from ${sql.table(table.name)}
    where tenant_id = any(${[...tenantIds]}::uuid[]) and span = ${sql.lit(finer)}
      and bucket >= ${range.since} and bucket < ${range.until}
    group by tenant_id, start, ${names(keys)}
    on conflict (${names(primary)}) do update
    set ${sql.join(figures.map((name) => sql`${sql.ref(name)} = excluded.${sql.ref(name)}`))}
    where (${names(figures.map((name) => `s.${name}`))}) is distinct from (${names(figures.map((name) => `excluded.${name}`))})
  `
}

/** Returns the marks of tenants that are not rolled up as far as the others. */
export async function selectLagging(db: Kysely<DB>, table: StatsTable): Promise<Map<string, Date>> {
  const rows = await db
    .selectFrom('stats_rollups')
    .select(['name', 'until'])
    .where(isLagging(table))
    .execute()
  return new Map(rows.map(({ name, until }) => [name.slice(markOf(table, '').length), until]))
}

/** @param lagging how far those tenants are rolled up that are not as far as `until`: all others are */
export async function setRolledUntil(
  db: Kysely<DB>,
  table: StatsTable,
  until: Date,
  lagging: ReadonlyMap<string, Date>,
): Promise<void> {
  const own = [...lagging].map(([tenantId, each]) => ({ name: markOf(table, tenantId), until: each }))
  await db.transaction().execute(async (trx) => {
    await trx.deleteFrom('stats_rollups').where(isLagging(table)).execute()
    await trx
      .insertInto('stats_rollups')
      .values([{ name: table.name, until }, ...own])
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet((eb) => ({ until: eb.ref('excluded.until') })),
      )
      .execute()
  })
}

function isLagging(table: StatsTable) {
  return sql<boolean>`starts_with(name, ${markOf(table, '')})`
}

export function deletingBefore(
  table: StatsTable,
  tenantIds: readonly string[],
  { span, before, limit }: { span: number; before: Date; limit: number },
): RawBuilder<unknown> {
  return sql`
    delete from ${sql.table(table.name)} where ctid = any(array(
      select ctid from ${sql.table(table.name)}
      where tenant_id = any(${[...tenantIds]}::uuid[]) and span = ${sql.lit(span)} and bucket < ${before}
      limit ${limit}
    ))`
}
