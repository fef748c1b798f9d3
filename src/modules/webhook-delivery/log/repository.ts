import { type Kysely, sql } from 'kysely'
import type { DB, DeliveryStatus } from '#db/schema.ts'
import { deliveryView } from '#modules/event/index.ts'

export interface DeliveryFilter {
  tenantId: string
  pluginId: string | null
  pluginSlug: string | null
  status: DeliveryStatus | null
  event: string | null
  beforeId: string | null
  limit: number
}

/** Attempts shown with a delivery. */
const ATTEMPTS_SHOWN = 100

/** The delivery log, newest first. */
export function listDeliveries(db: Kysely<DB>, filter: DeliveryFilter) {
  let query = deliveryView(db, filter.tenantId).orderBy('d.id', 'desc').limit(filter.limit)
  if (filter.pluginId !== null) query = query.where('d.plugin_id', '=', filter.pluginId)
  if (filter.pluginSlug !== null) {
    query = query.where('d.plugin_id', 'in', (eb) =>
      eb
        .selectFrom('plugins as named')
        .select('named.id')
        .where('named.tenant_id', '=', filter.tenantId)
        .where('named.slug', '=', filter.pluginSlug),
    )
  }
  if (filter.status !== null) query = query.where('d.status', '=', filter.status)
  if (filter.event !== null) query = query.where('d.event', '=', filter.event)
  if (filter.beforeId !== null) query = query.where('d.id', '<', filter.beforeId)
  return query.execute()
}

export async function findDelivery(db: Kysely<DB>, tenantId: string, id: string, pluginId: string | null) {
  let query = deliveryView(db, tenantId).where('d.id', '=', id)
  if (pluginId !== null) query = query.where('d.plugin_id', '=', pluginId)
  const delivery = await query.executeTakeFirst()
  if (delivery === undefined) return undefined
  const attempts = await db
    .selectFrom('delivery_attempts')
    .select([
      'number',
      'started_at',
      'duration_ms',
      'response_status',
      'error_class',
      'error_detail',
      'response_headers',
      'response_body',
      'response_truncated',
    ])
    .where('tenant_id', '=', tenantId)
    .where('delivery_id', '=', id)
    .orderBy('number', 'desc')
    .limit(ATTEMPTS_SHOWN)
    .execute()
  return { ...delivery, attempts: attempts.reverse() }
}

/**
 * Makes one delivery due now, with a fresh retry schedule, whatever has become of it.
 * @returns the plugin, or undefined if there is no such delivery or nothing to send any more
 */
export async function requeueDelivery(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
): Promise<{ plugin_id: string } | undefined> {
  return db
    .updateTable('deliveries as d')
    .set({
      status: 'pending',
      reason: 'manual_retry',
      due_at: sql<Date>`now()`,
      round_failures: 0,
      sent_at: null,
    })
    .where('d.tenant_id', '=', tenantId)
    .where('d.id', '=', id)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('events as e')
          .select('e.id')
          .whereRef('e.tenant_id', '=', 'd.tenant_id')
          .whereRef('e.id', '=', 'd.event_id')
          .where('e.body', 'is not', null),
      ),
    )
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('plugins as p')
          .select('p.id')
          .whereRef('p.tenant_id', '=', 'd.tenant_id')
          .whereRef('p.id', '=', 'd.plugin_id')
          .where('p.deleted_at', 'is', null),
      ),
    )
    .returning('d.plugin_id')
    .executeTakeFirst()
}

export async function findPluginRevision(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
): Promise<number | undefined> {
  const row = await db
    .selectFrom('plugins')
    .select('revision')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row?.revision
}
