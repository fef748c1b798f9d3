import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Returns where a tenant's platform actions go instead of `PLATFORM_URL`; undefined: the tenant has not said. */
export async function findOverride(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ platform_url: string; platform_token_sealed: Buffer | null } | undefined> {
  const row = await db
    .selectFrom('tenants')
    .select(['platform_url', 'platform_token_sealed'])
    .where('id', '=', tenantId)
    .executeTakeFirst()
  if (row === undefined || row.platform_url === null) return undefined
  return { platform_url: row.platform_url, platform_token_sealed: row.platform_token_sealed }
}

export async function updateOverride(
  trx: Transaction<DB>,
  tenantId: string,
  override: { platform_url: string | null; platform_token_sealed: Buffer | null },
): Promise<void> {
  await trx
    .updateTable('tenants')
    .set({ ...override, updated_at: sql<Date>`now()` })
    .where('id', '=', tenantId)
    .execute()
}
