import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export interface SeenType {
  tenant_id: string
  name: string
  sample: Readonly<Record<string, unknown>>
  plugin_id: string | null
}

export interface SeenTypeRow {
  name: string
  sample: unknown
  /** Slug of the plugin that sent the first event. */
  plugin: string | null
  created_at: Date
}

/**
 * Writes types that are not there yet, while their tenant has fewer than `limit`. In the order of the key: two
 * processes that see the same types at once wait for each other's rows, and must meet them in the same order. The
 * limit is that of the statement's snapshot, so that processes that meet may exceed it by what each one wrote.
 */
export async function insertSeenTypes(
  db: Kysely<DB>,
  types: readonly SeenType[],
  limit: number,
): Promise<void> {
  await sql`
    insert into seen_event_types (tenant_id, name, sample, plugin_id)
    select seen.tenant_id, seen.name, seen.sample, plugin.id
    from (
      select *, row_number() over (partition by tenant_id order by name)
        + (select count(*) from seen_event_types s where s.tenant_id = t.tenant_id) as n
      from jsonb_to_recordset(${JSON.stringify(types)}::jsonb)
        as t (tenant_id uuid, name text, sample jsonb, plugin_id uuid)
      where not exists (
        select from event_types declared where declared.tenant_id = t.tenant_id and declared.name = t.name
      )
    ) seen
    left join plugins plugin on plugin.id = seen.plugin_id and plugin.tenant_id = seen.tenant_id
    where seen.n <= ${limit}
    order by seen.tenant_id, seen.name
    on conflict (tenant_id, name) do nothing`.execute(db)
}

function seenTypes(db: Kysely<DB> | Transaction<DB>, tenantId: string) {
  return db
    .selectFrom('seen_event_types as seen')
    .leftJoin('plugins as plugin', (join) =>
      join
        .onRef('plugin.id', '=', 'seen.plugin_id')
        .onRef('plugin.tenant_id', '=', 'seen.tenant_id')
        .on('plugin.deleted_at', 'is', null),
    )
    .select(['seen.name', 'seen.sample', 'plugin.slug as plugin', 'seen.created_at'])
    .where('seen.tenant_id', '=', tenantId)
}

export async function selectSeenTypes(db: Kysely<DB>, tenantId: string): Promise<SeenTypeRow[]> {
  return seenTypes(db, tenantId).execute()
}

export async function findSeenType(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<SeenTypeRow | undefined> {
  return seenTypes(db, tenantId).where('seen.name', '=', name).executeTakeFirst()
}

/** For types that are declared now, or unwanted. */
export async function deleteSeenTypes(
  trx: Transaction<DB>,
  tenantId: string,
  names: readonly string[],
): Promise<void> {
  await trx
    .deleteFrom('seen_event_types')
    .where('tenant_id', '=', tenantId)
    .where(sql<boolean>`name = any(${names}::text[])`)
    .execute()
}
