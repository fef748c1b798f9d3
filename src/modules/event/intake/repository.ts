import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** The event that a publisher's source id stands for. */
export interface TakenSourceId {
  tenant_id: string
  source_id: string
  publisher_plugin_id: string | null
  id: string
  event: string
  fingerprint: Buffer
  deliveries: number
}

export async function selectBySourceIds(
  db: Kysely<DB> | Transaction<DB>,
  keys: readonly { tenantId: string; sourceId: string | null; publisherPluginId: string | null }[],
): Promise<TakenSourceId[]> {
  const { rows } = await sql<TakenSourceId>`
    select e.tenant_id, e.source_id, e.publisher_plugin_id, e.id, e.event, e.fingerprint,
      (select count(*)::int from deliveries d where d.event_id = e.id and d.tenant_id = e.tenant_id
        and d.resend = 0) as deliveries
    from unnest(${keys.map(({ tenantId }) => tenantId)}::uuid[], ${keys.map(({ sourceId }) => sourceId)}::text[],
      ${keys.map(({ publisherPluginId }) => publisherPluginId)}::uuid[]) as key (tenant_id, source_id, publisher)
    join events e on e.tenant_id = key.tenant_id and e.source_id = key.source_id
      and e.publisher_plugin_id is not distinct from key.publisher`.execute(db)
  return rows
}
