import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'

export interface DueDelivery {
  dueSecondsAgo: number
  /** A worker holds the plugin's lane. */
  held?: boolean
  pluginStatus?: 'active' | 'paused' | 'disabled'
  breaker?: 'closed' | 'open' | 'half_open'
  /** The end of the breaker's pause: negative is over. */
  holdSecondsFromNow?: number
}

/** A plugin of a tenant of its own with one waiting delivery, as the queue sees it. */
export async function insertDueDelivery(db: Kysely<DB>, due: DueDelivery): Promise<void> {
  const [tenantId, pluginId] = [newId(), newId()]
  const fromNow = (seconds: number): Date => new Date(Date.now() + seconds * 1_000)
  await db.insertInto('tenants').values({ id: tenantId }).execute()
  await db
    .insertInto('plugins')
    .values({
      id: pluginId,
      tenant_id: tenantId,
      slug: 'waiting',
      name: 'Waiting',
      webhook_url: 'http://127.0.0.1:1/',
      base_url: 'http://127.0.0.1:1/',
      status: due.pluginStatus ?? 'active',
    })
    .execute()
  await db
    .insertInto('delivery_lanes')
    .values({
      plugin_id: pluginId,
      tenant_id: tenantId,
      lease_until: due.held === true ? fromNow(30) : null,
      breaker_state: due.breaker ?? 'closed',
      hold_until: due.holdSecondsFromNow === undefined ? null : fromNow(due.holdSecondsFromNow),
      hold_reason: due.holdSecondsFromNow === undefined ? null : 'breaker_open',
    })
    .execute()
  await db
    .insertInto('deliveries')
    .values({
      tenant_id: tenantId,
      id: newId(),
      plugin_id: pluginId,
      event_id: newId(),
      event: 'product.created',
      due_at: fromNow(-due.dueSecondsAgo),
    })
    .execute()
}
