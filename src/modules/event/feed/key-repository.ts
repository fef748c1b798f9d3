import { sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { type Coalesced, coalesceAgain, mayCoalesce } from '../intake/coalescing.ts'
import { orderingKey, orderingRule } from '../intake/ordering.ts'
import { subjectOf } from '../intake/compose.ts'

/** Bodies of 1 MB at most that are read by one statement. */
const BODIES_READ = 16

/** The keys of an event at a plugin: of one kind at most. */
export interface Keys {
  readonly ordering: string | null
  readonly coalesced: Coalesced | null
}

/**
 * The keys of events at plugins as they are now, by event and plugin: for what was not given an ordering key at intake, as the
 * plugin was not there yet or did not want its deliveries in order, and for what is to wait for newer ones. Left out: what has
 * none.
 */
export async function keysOf(
  trx: Transaction<DB>,
  tenantId: string,
  wanted: readonly {
    eventId: string
    event: string
    pluginId: string
    /** See `coalesceAgain`. */
    coalescedBefore: string | null | undefined
  }[],
): Promise<Map<string, Keys>> {
  const keys = new Map<string, Keys>()
  if (wanted.length === 0) return keys
  const rules = await selectRules(trx, tenantId, [...new Set(wanted.map(({ pluginId }) => pluginId))])
  const keyed = wanted.filter(({ pluginId, event }) => {
    const { ordering, subscriptions } = rules.get(pluginId) ?? {}
    return ordering !== undefined || mayCoalesce(subscriptions ?? [], event)
  })
  for (let from = 0; from < keyed.length; from += BODIES_READ) {
    const chunk = keyed.slice(from, from + BODIES_READ)
    const bodies = await selectBodies(
      trx,
      tenantId,
      chunk.map(({ eventId }) => eventId),
    )
    for (const { eventId, event, pluginId, coalescedBefore } of chunk) {
      const body = bodies.get(eventId)
      const plugin = rules.get(pluginId)
      if (body === undefined || plugin === undefined) continue
      const { data, cloudevent } = readJson(body) as { data: unknown; cloudevent?: Record<string, unknown> }
      const keyedEvent = { event, data, subject: subjectOf(cloudevent) }
      const ordering =
        plugin.ordering === undefined ? null : orderingKey(pluginId, plugin.ordering, keyedEvent)
      const coalesced = coalesceAgain(pluginId, plugin.subscriptions, keyedEvent, coalescedBefore)
      if (ordering !== null || coalesced !== null) keys.set(`${eventId} ${pluginId}`, { ordering, coalesced })
    }
  }
  return keys
}

async function selectRules(trx: Transaction<DB>, tenantId: string, pluginIds: readonly string[]) {
  const rows = await trx
    .selectFrom('plugins')
    .select(['id', 'ordering', 'ordering_key', 'subscriptions'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', sql<string>`any(${pluginIds}::uuid[])`)
    .where(sql<boolean>`(ordering <> 'none' or jsonb_path_exists(subscriptions, '$[*].coalesce'))`)
    .execute()
  return new Map(
    rows.map(({ id, ordering, ordering_key, subscriptions }) => [
      id,
      { ordering: orderingRule(ordering, ordering_key), subscriptions },
    ]),
  )
}

async function selectBodies(
  trx: Transaction<DB>,
  tenantId: string,
  eventIds: readonly string[],
): Promise<Map<string, string>> {
  const rows = await trx
    .selectFrom('events')
    .select(['id', 'body'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', sql<string>`any(${eventIds}::uuid[])`)
    .execute()
  return new Map(rows.flatMap(({ id, body }) => (body === null ? [] : [[id, body] as const])))
}
