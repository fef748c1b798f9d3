import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { deliveryView } from './delivery-view.ts'

/** Deliveries shown with an event; the delivery log has all of them. */
const MAX_SHOWN = 1_000

export async function selectDeliveries(
  db: Kysely<DB>,
  tenantId: string,
  eventId: string,
  pluginId: string | null,
) {
  let query = deliveryView(db, tenantId).where('d.event_id', '=', eventId).orderBy('d.id').limit(MAX_SHOWN)
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
