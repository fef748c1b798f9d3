import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

interface Override {
  platform_url: string
  platform_token_sealed: Buffer | null
}

function overrideOf(db: Kysely<DB> | Transaction<DB>, tenantId: string) {
  return db.selectFrom('tenants').select(['platform_url', 'platform_token_sealed']).where('id', '=', tenantId)
}

function toOverride(row: { platform_url: string | null; platform_token_sealed: Buffer | null } | undefined) {
  if (row === undefined || row.platform_url === null) return undefined
  return { platform_url: row.platform_url, platform_token_sealed: row.platform_token_sealed }
}

/** Returns where a tenant's platform actions go instead of `PLATFORM_URL`; undefined: the tenant has not said. */
export async function findOverride(db: Kysely<DB>, tenantId: string): Promise<Override | undefined> {
  return toOverride(await overrideOf(db, tenantId).executeTakeFirst())
}

/** Returns the same, and keeps it from being changed until the transaction ends. */
export async function lockOverride(trx: Transaction<DB>, tenantId: string): Promise<Override | undefined> {
  return toOverride(await overrideOf(trx, tenantId).forNoKeyUpdate().executeTakeFirst())
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
