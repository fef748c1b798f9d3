import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { deliveryView } from './delivery-view.ts'

export async function selectDeliveries(
  db: Kysely<DB>,
  tenantId: string,
  eventId: string,
  { pluginId, after, limit }: { pluginId: string | null; after: string | null; limit: number },
) {
  let query = deliveryView(db, tenantId).where('d.event_id', '=', eventId).orderBy('d.id').limit(limit)
  if (after !== null) query = query.where('d.id', '>', after)
  if (pluginId !== null) query = query.where('d.plugin_id', '=', pluginId)
  return query.execute()
}

export async function selectSlugs(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  pluginIds: readonly string[],
): Promise<{ id: string; slug: string }[]> {
  if (pluginIds.length === 0) return []
  return db
    .selectFrom('plugins')
    .select(['id', 'slug'])
    .where('tenant_id', '=', tenantId)
    .where('id', 'in', pluginIds)
    .where('deleted_at', 'is', null)
    .orderBy('slug')
    .execute()
}
