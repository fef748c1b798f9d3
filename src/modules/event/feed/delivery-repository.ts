import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
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

/**
 * Makes an event due to plugins, now: what was sent or given up starts a new round, what waits only waits no
 * longer, and what never was is added.
 */
export async function requeueEvent(
  trx: Transaction<DB>,
  event: { tenantId: string; id: string; event: string },
  pluginIds: readonly string[],
): Promise<void> {
  await sql`
    insert into deliveries as d (tenant_id, id, plugin_id, event_id, event, reason)
    select ${event.tenantId}, r.id, r.plugin_id, ${event.id}, ${event.event}, 'replay'
    from unnest(${pluginIds.map(() => newId())}::uuid[], ${pluginIds}::uuid[]) as r (id, plugin_id)
    order by r.plugin_id
    on conflict (event_id, plugin_id) do update set
      due_at = now(),
      status = case when d.status in ('sent', 'failed') then 'pending' else d.status end,
      reason = case when d.status in ('sent', 'failed') then 'replay' else d.reason end,
      round_failures = case when d.status in ('sent', 'failed') then 0 else d.round_failures end,
      sent_at = case when d.status in ('sent', 'failed') then null else d.sent_at end`.execute(trx)
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
