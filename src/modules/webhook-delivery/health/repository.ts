import { sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

interface Place {
  tenantId: string
  pluginId: string
}

/**
 * Notes whether `plugin.failing` was the last that was told of the plugin.
 *
 * @returns since when it fails, null if it does not; undefined if it was noted so already
 */
export async function setAnnounced(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Place,
  announced: boolean,
): Promise<Date | null | undefined> {
  const row = await trx
    .updateTable('delivery_lanes')
    .set({ failing_announced: announced, ...(!announced && { disabling_announced: false }) })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('failing_announced', '=', !announced)
    .returning('failing_since')
    .executeTakeFirst()
  return row?.failing_since
}

/** Notes that `plugin.disabling_soon` was told. @returns as `setAnnounced`; undefined, too, if it does not fail any more */
export async function setWarned(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Place,
): Promise<Date | undefined> {
  const row = await trx
    .updateTable('delivery_lanes')
    .set({ disabling_announced: true })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('disabling_announced', '=', false)
    .where('failing_since', 'is not', null)
    .returning('failing_since')
    .executeTakeFirst()
  return row?.failing_since ?? undefined
}

export async function readFailingSince(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Place,
): Promise<Date | null> {
  const row = await trx
    .selectFrom('delivery_lanes')
    .select('failing_since')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .executeTakeFirst()
  return row?.failing_since ?? null
}

/** @returns false if the plugin was not active any more */
export async function disablePlugin(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Place,
  reason: string,
): Promise<boolean> {
  const changed = await trx
    .updateTable('plugins')
    .set({
      status: 'disabled',
      status_reason: reason,
      status_changed_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
      revision: sql<number>`revision + 1`,
    })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .where('status', '=', 'active')
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}
