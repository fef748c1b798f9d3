import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** The quotas of things that are counted in the database. */
export type StockQuota =
  | 'plugins'
  | 'filter_bytes'
  | 'keys'
  | 'active_flows'
  | 'active_flow_bytes'
  | 'flow_templates'
  | 'connections'
  | 'variables'
  | 'variable_bytes'
  | 'waiting_executions'
  | 'stored_bytes'

/** Returns what was set for a tenant; undefined or null: nothing. */
export async function findQuotas(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<unknown> {
  const row = await db.selectFrom('tenants').select('quotas').where('id', '=', tenantId).executeTakeFirst()
  return row?.quotas
}

/** The same, and what the tenant stores as it was measured last. */
export async function findQuotasAndStorage(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ quotas: unknown; storedBytes: number; leastStoredBytes: number }> {
  const { rows } = await sql<{ quotas: unknown; stored: number | null; least: number | null }>`select
    (select quotas from tenants where id = ${tenantId}) as quotas, s.stored_bytes as stored, s.least_bytes as least
    from (select 1) as one left join tenant_storage s on s.tenant_id = ${tenantId}`.execute(db)
  return {
    quotas: rows[0]?.quotas,
    storedBytes: rows[0]?.stored ?? 0,
    leastStoredBytes: rows[0]?.least ?? 0,
  }
}

/** The same as `findQuotas`, and locks the tenant's row: those that change what is counted come one after the other. */
export async function lockQuotas(trx: Transaction<DB>, tenantId: string): Promise<unknown> {
  const row = await trx
    .selectFrom('tenants')
    .select('quotas')
    .where('id', '=', tenantId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row?.quotas
}

/**
 * Counts how much of it a tenant has.
 *
 * @param most at which the count of waiting executions ends, as there may be millions
 */
export async function measure(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  quota: StockQuota,
  most: number,
): Promise<number> {
  const { rows } = await sql<{ used: number }>`select ${MEASURES[quota](tenantId, most)} as used`.execute(db)
  return rows[0]?.used ?? 0
}

const ACTIVE = sql`f.status = 'active' and f.deleted_at is null and f.published_version is not null`

const MEASURES: Readonly<Record<StockQuota, (tenantId: string, most: number) => RawBuilder<number>>> = {
  plugins: (id) => sql`(select count(*) from plugins where tenant_id = ${id} and deleted_at is null)`,
  filter_bytes: (id) => sql`(select coalesce(sum(octet_length(subscriptions::text)), 0)
    from plugins where tenant_id = ${id} and deleted_at is null)`,
  keys: (id) => sql`(select count(*) from api_keys
    where tenant_id = ${id} and revoked_at is null and (expires_at is null or expires_at > now()))`,
  active_flows: (id) =>
    sql`(select count(*) from automation_flows f where f.tenant_id = ${id} and ${ACTIVE})`,
  active_flow_bytes: (id) => sql`(select coalesce(sum(octet_length(v.flow::text)), 0)
    from automation_flows f join automation_flow_versions v
      on v.tenant_id = f.tenant_id and v.flow_id = f.id and v.version = f.published_version
    where f.tenant_id = ${id} and ${ACTIVE})`,
  flow_templates: (id) => sql`(select count(*) from automation_templates where tenant_id = ${id})`,
  connections: (id) => sql`(select count(*) from connections where tenant_id = ${id})`,
  variables: (id) => sql`(select count(*) from shop_variables where tenant_id = ${id})`,
  variable_bytes: (id) => sql`(select coalesce(sum(octet_length(value::text)), 0)
    from shop_variables where tenant_id = ${id})`,
  waiting_executions: (id, most) => sql`(select count(*) from (
    select from automation_executions
    where tenant_id = ${id} and status in ('queued', 'waiting') limit ${most}) waiting)`,
  stored_bytes: (id) =>
    sql`(select coalesce(max(stored_bytes), 0) from tenant_storage where tenant_id = ${id})`,
}
