import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Types of one pattern that are looked up one by one; beyond that rows are read in order. */
const MAX_TYPES = 500

/** The types that a pattern takes and that rows are of, by hopping over the index; null: all, or too many. */
export async function typesOf(
  db: Kysely<DB>,
  table: 'events' | 'deliveries',
  tenantId: string,
  pattern: string,
): Promise<string[] | null> {
  if (pattern === '*') return null
  if (!pattern.endsWith('.*')) return [pattern]
  const prefix = pattern.slice(0, -1)
  // '/' comes right behind '.'.
  const end = `${pattern.slice(0, -2)}/`
  const { rows } = await sql<{ type: string }>`
    with recursive hop as (
      (select event collate "C" as type from ${sql.table(table)}
       where tenant_id = ${tenantId} and event collate "C" >= ${prefix} and event collate "C" < ${end}
       order by event collate "C" limit 1)
      union all
      select next.type from hop cross join lateral (
        select event collate "C" as type from ${sql.table(table)}
        where tenant_id = ${tenantId} and event collate "C" > hop.type and event collate "C" < ${end}
        order by event collate "C" limit 1
      ) next
    )
    select type from hop limit ${MAX_TYPES + 1}`.execute(db)
  return rows.length > MAX_TYPES ? null : rows.map(({ type }) => type)
}

/** The plugin of that slug: the live one, else the one that was deleted last. */
export async function pluginNamed(
  db: Kysely<DB>,
  tenantId: string,
  slug: string,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('plugins')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('slug', '=', slug)
    .orderBy(sql`deleted_at desc nulls first`)
    .limit(1)
    .executeTakeFirst()
  return row?.id
}
