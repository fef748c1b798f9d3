import { sql, type Transaction } from 'kysely'
import type { DB, SkipReason } from '#db/schema.ts'

export async function insertLane(trx: Transaction<DB>, tenantId: string, pluginId: string): Promise<void> {
  await trx.insertInto('delivery_lanes').values({ plugin_id: pluginId, tenant_id: tenantId }).execute()
}

/**
 * Forgets failures and holds, so that deliveries go out at once. The raised version keeps whoever holds the lane
 * from writing its older state back. `failing_announced` stays: the next success tells of the recovery.
 */
export async function resetLane(trx: Transaction<DB>, tenantId: string, pluginId: string): Promise<void> {
  await laneOf(trx, tenantId, pluginId)
    .set((eb) => ({
      health_version: eb('health_version', '+', 1),
      breaker_state: 'closed',
      breaker_opens: 0,
      hold_until: null,
      hold_reason: null,
      consecutive_failures: 0,
      failing_since: null,
      failing_attempts: 0,
      disabling_announced: false,
    }))
    .execute()
}

/** The next worker that takes the lane finds out anew whether the plugin's secrets can be opened. */
export async function clearUnreadable(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await laneOf(trx, tenantId, pluginId).set({ secret_unreadable: false }).execute()
}

/** The lane's worker gives up what waits: all that was queued up to now, or all there ever will be. */
export async function giveUpWaiting(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  reason: SkipReason,
): Promise<void> {
  await laneOf(trx, tenantId, pluginId)
    .set({
      skip_before: reason === 'plugin_deleted' ? sql<Date>`'infinity'::timestamptz` : sql<Date>`now()`,
      skip_reason: reason,
    })
    .execute()
}

/** The lane's worker ends what waits and is not subscribed to any more. */
export async function endUnsubscribed(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await laneOf(trx, tenantId, pluginId)
    .set({ unsubscribed_at: sql<Date>`clock_timestamp()` })
    .execute()
}

function laneOf(trx: Transaction<DB>, tenantId: string, pluginId: string) {
  return trx.updateTable('delivery_lanes').where('tenant_id', '=', tenantId).where('plugin_id', '=', pluginId)
}
