import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { deliveryView } from '#modules/event/index.ts'

/** Attempts shown with a delivery. */
const ATTEMPTS_SHOWN = 100

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
