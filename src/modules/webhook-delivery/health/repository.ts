import { sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

interface Place {
  tenantId: string
  pluginId: string
}

/** Notes whether `plugin.failing` was the last that was told of the plugin. @returns false if it was noted so already */
export async function setAnnounced(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Place,
  announced: boolean,
): Promise<boolean> {
  const changed = await trx
    .updateTable('delivery_lanes')
    .set({ failing_announced: announced })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('failing_announced', '=', !announced)
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
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
