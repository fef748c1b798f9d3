import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Returns since when a tenant's automations are halted; null: they are not. */
export async function findHaltedAt(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<Date | null> {
  const row = await db
    .selectFrom('flow_cursors')
    .select('halted_at')
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst()
  return row?.halted_at ?? null
}
