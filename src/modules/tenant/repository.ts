import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import type { QuotaSettings, Tenant, TenantChange } from './schemas.ts'

const COLUMNS = ['id', 'strict_events', 'created_at', 'updated_at'] as const

export async function selectTenant(db: Kysely<DB>, tenantId: string): Promise<Tenant | undefined> {
  return db.selectFrom('tenants').select(COLUMNS).where('id', '=', tenantId).executeTakeFirst()
}

/** Also makes intake read the settings again that it remembers. */
export async function updateTenant(
  trx: Transaction<DB>,
  tenantId: string,
  change: TenantChange,
): Promise<Tenant> {
  await raiseSubscriptionsVersion(trx, tenantId)
  return trx
    .updateTable('tenants')
    .set({
      ...(change.strict_events !== undefined && { strict_events: change.strict_events }),
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', tenantId)
    .returning(COLUMNS)
    .executeTakeFirstOrThrow()
}

export async function updateQuotas(
  trx: Transaction<DB>,
  tenantId: string,
  quotas: QuotaSettings,
): Promise<void> {
  await trx
    .updateTable('tenants')
    .set({ quotas: JSON.stringify(quotas), updated_at: sql<Date>`now()` })
    .where('id', '=', tenantId)
    .execute()
}
