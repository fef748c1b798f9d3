import { Buffer } from 'node:buffer'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { insertTenant } from '#infra/auth/repository.ts'
import { parseJson } from '#lib/json/index.ts'
import type { SnapshotPlugin, SnapshotType } from './snapshot.ts'
import { TenantSnapshot } from './snapshot.ts'
import { claimedSegments, shopSegments } from '../segments/repository.ts'

/** Also makes the tenant's row when it is missing: events have no foreign key that would ask for it. */
export async function loadSnapshot(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<TenantSnapshot> {
  const snapshot = await selectSnapshot(db, tenantId)
  if (snapshot !== null) return snapshot
  await insertTenant(db, tenantId)
  const made = await selectSnapshot(db, tenantId)
  if (made === null) throw new Error('a tenant row that was just made is not there')
  return made
}

/** One statement, so that the version and what it stands for are of one snapshot. */
async function selectSnapshot(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<TenantSnapshot | null> {
  const {
    rows: [row],
  } = await sql<{
    version: number
    strict: boolean
    has_flows: boolean
    plugins: string
    types: string
    seen: string[]
    claims: { segment: string; pluginId: string | null }[]
    of_shop: string[]
  }>`
    select subscriptions_version as version, strict_events as strict,
      exists (select from flow_cursors where tenant_id = tenants.id) as has_flows,
      (select coalesce(json_agg(json_build_object('id', id, 'slug', slug, 'includeOwn', include_own,
         'orderedBy', case when ordering = 'key' then json_build_object('path', ordering_key) end,
         'subscriptions', subscriptions) order by id), '[]')::text
       from plugins where tenant_id = tenants.id and deleted_at is null) as plugins,
      (select coalesce(json_agg(json_build_object('name', name, 'schema', schema, 'pluginId', plugin_id)), '[]')::text
       from event_types where tenant_id = tenants.id) as types,
      array(select name from seen_event_types where tenant_id = tenants.id) as seen,
      ${claimedSegments(sql`tenants.id`)} as claims,
      ${shopSegments(sql`tenants.id`)} as of_shop
    from tenants where id = ${tenantId}`.execute(db)
  if (row === undefined) return null
  return new TenantSnapshot({
    version: row.version,
    strict: row.strict,
    hasFlows: row.has_flows,
    plugins: parseJson(Buffer.from(row.plugins)) as SnapshotPlugin[],
    types: parseJson(Buffer.from(row.types)) as SnapshotType[],
    seen: row.seen,
    claims: row.claims,
    ofShop: row.of_shop,
    bytes: row.plugins.length + row.types.length,
  })
}
