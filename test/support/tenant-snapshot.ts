import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/**
 * Every row that belongs to the tenant, by table: equal snapshots mean that nothing of it changed. When a key or
 * session was used last is left out: it is noted once a minute.
 */
export async function snapshotTenant(db: Kysely<DB>, tenantId: string): Promise<Record<string, unknown[]>> {
  const { rows: tables } = await sql<{ table_name: string }>`
    select table_name from information_schema.columns
    where table_schema = 'public' and column_name = 'tenant_id' order by table_name`.execute(db)
  const snapshot: Record<string, unknown[]> = { tenants: await rowsOf(db, 'tenants', 'id', tenantId) }
  for (const { table_name: table } of tables) {
    snapshot[table] = await rowsOf(db, table, 'tenant_id', tenantId)
  }
  return snapshot
}

async function rowsOf(db: Kysely<DB>, table: string, column: string, tenantId: string): Promise<unknown[]> {
  const { rows } = await sql<{ row: unknown }>`
    select to_jsonb(t) - '{last_used_at,seen_at}'::text[] as row from ${sql.table(table)} t
    where ${sql.ref(column)} = ${tenantId}::uuid order by 1`.execute(db)
  return rows.map(({ row }) => row)
}
