import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export interface SecretRow {
  id: string
  plugin_id: string
  sealed: Buffer
  created_at: Date
  /** Null: the current one. */
  expires_at: Date | null
}

export async function insertSecret(
  trx: Transaction<DB>,
  row: { id: string; tenant_id: string; plugin_id: string; sealed: Buffer },
): Promise<void> {
  await trx.insertInto('plugin_secrets').values(row).execute()
}

/** The secrets that sign now, newest first. */
export async function listLiveSecrets(
  db: Kysely<DB>,
  tenantId: string,
  pluginIds: readonly string[],
): Promise<SecretRow[]> {
  if (pluginIds.length === 0) return []
  return db
    .selectFrom('plugin_secrets')
    .select(['id', 'plugin_id', 'sealed', 'created_at', 'expires_at'])
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', 'in', pluginIds)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', sql<Date>`now()`)]))
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .execute()
}

/** Every secret ends within the overlap; one that ends sooner anyway keeps its time. */
export async function expireSecrets(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  overlapSeconds: number,
): Promise<void> {
  await trx
    .updateTable('plugin_secrets')
    .set({
      expires_at: sql<Date>`least(expires_at, now() + ${overlapSeconds}::integer * interval '1 second')`,
    })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}

/** Removes secrets that have ended: what signs nothing any more need not be kept. */
export async function deleteEndedSecrets(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await trx
    .deleteFrom('plugin_secrets')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('expires_at', '<=', sql<Date>`now()`)
    .execute()
}

export async function deleteSecrets(trx: Transaction<DB>, tenantId: string, pluginId: string): Promise<void> {
  await trx
    .deleteFrom('plugin_secrets')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}
