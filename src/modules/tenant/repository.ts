import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Calendar } from '#lib/calendar.ts'
import type { QuotaSettings, Tenant } from './schemas.ts'

const COLUMNS = ['id', 'strict_events', 'calendar', 'created_at', 'updated_at'] as const

export interface TenantRow extends Pick<Tenant, 'id' | 'strict_events'> {
  /** The settings that were made of it; null: none. */
  calendar: Partial<Calendar> | null
  created_at: Date
  updated_at: Date
}

export async function selectTenant(db: Kysely<DB>, tenantId: string): Promise<TenantRow | undefined> {
  return db.selectFrom('tenants').select(COLUMNS).where('id', '=', tenantId).executeTakeFirst()
}

export async function updateTenant(
  trx: Transaction<DB>,
  tenantId: string,
  change: { strict_events?: boolean | undefined; calendar?: Calendar | undefined },
): Promise<TenantRow> {
  return trx
    .updateTable('tenants')
    .set({
      ...(change.strict_events !== undefined && { strict_events: change.strict_events }),
      ...(change.calendar !== undefined && { calendar: JSON.stringify(change.calendar) }),
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
