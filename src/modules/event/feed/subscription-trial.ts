import type { Kysely } from 'kysely'
import type { DB, StoredSubscription } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { selectDeliveries } from './delivery-repository.ts'
import { eventBodyGone, eventNotFound } from '../errors.ts'
import { requireEvent } from './service.ts'
import { filterWarnings } from '../types/filter-warnings.ts'
import { selectTypes } from '../types/repository.ts'
import { readVisibleType } from '../types/service.ts'
import { readBody } from './view.ts'

/** The warnings of `filterWarnings`, by the types that the tenant's catalogue has now. */
export async function subscriptionWarnings(
  db: Kysely<DB>,
  tenantId: string,
  subscriptions: readonly StoredSubscription[],
): Promise<FieldError[]> {
  if (subscriptions.every(({ filter }) => filter === null)) return []
  const rows = await selectTypes(db, tenantId)
  const types = new Map(rows.map(({ name, schema }) => [name, { name, schema, pluginId: null }]))
  return filterWarnings({ types }, subscriptions)
}

/** An event to try subscriptions with. */
export interface TrialEvent {
  id: string | null
  event: string
  data: unknown
  receivedAt: Date
  publisherPluginId: string | null
}

/**
 * A past event, by our id or the caller's own; for a plugin's key, one that went to the plugin.
 * @throws `event_not_found`, `event_body_gone`
 */
export async function pastEvent(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string | null,
  id: string,
): Promise<TrialEvent> {
  const row = await requireEvent(db, tenantId, pluginId, id)
  if (
    pluginId !== null &&
    (await selectDeliveries(db, tenantId, row.id, { pluginId, after: null, limit: 1 })).length === 0
  ) {
    throw eventNotFound()
  }
  if (row.body === null) throw eventBodyGone()
  return {
    id: row.id,
    event: row.event,
    data: readBody(row),
    receivedAt: row.received_at,
    publisherPluginId: row.publisher_plugin_id,
  }
}

/** The sample of a type that the caller may see, undefined where it has none. @throws `event_type_not_found` */
export async function sampleOfType(
  db: Kysely<DB>,
  actor: Actor,
  tenantId: string,
  type: string,
): Promise<unknown> {
  return (await readVisibleType({ db }, actor, tenantId, type)).sample ?? undefined
}
