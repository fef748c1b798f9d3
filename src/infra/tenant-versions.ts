/**
 * The versions that caches of a tenant are checked against. Nobody else writes these columns (eslint.config.js).
 *
 * - Whoever changes what a cache holds raises its version in the same transaction, so that no cache takes the new
 *   content for the old one's, or the other way round.
 * - A raise locks the tenant's row (of flows: its cursor) until the transaction ends: two changes of the same kind
 *   come one after the other.
 */
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Makes intake everywhere match its next event against subscriptions, event types and settings as they are now. */
export async function raiseSubscriptionsVersion(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await raise(trx, tenantId, 'subscriptions_version').execute()
}

/** Tells intake that somebody wants to hear of the tenant's events: before its first cursor nobody did. */
export async function announceFirstFlow(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await raise(trx, tenantId, 'subscriptions_version')
    .where((eb) =>
      eb.not(eb.exists(eb.selectFrom('flow_cursors').select('tenant_id').where('tenant_id', '=', tenantId))),
    )
    .execute()
}

/** Makes the registry everywhere read again which plugins there are, which are active and what actions they have. */
export async function raiseActionsVersion(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await raise(trx, tenantId, 'actions_version').execute()
}

/** 0 for a tenant that is not there. */
export async function readActionsVersion(db: Kysely<DB>, tenantId: string): Promise<number> {
  const row = await db
    .selectFrom('tenants')
    .select('actions_version')
    .where('id', '=', tenantId)
    .executeTakeFirst()
  return row?.actions_version ?? 0
}

/** Makes every matcher read the tenant's active flows again. */
export async function raiseFlowsVersion(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await flowsVersionRaised(tenantId).execute(trx)
}

/** The same as a statement, for the end of one that changes flows: only if that `changed` any. */
export function flowsVersionRaised(
  tenantId: string,
  changed: RawBuilder<unknown> = sql`true`,
): RawBuilder<unknown> {
  return sql`update flow_cursors set flows_version = flows_version + 1
    where tenant_id = ${tenantId} and ${changed}`
}

function raise(trx: Transaction<DB>, tenantId: string, column: 'subscriptions_version' | 'actions_version') {
  return trx
    .updateTable('tenants')
    .set((eb) => ({ [column]: eb(column, '+', 1) }))
    .where('id', '=', tenantId)
}
