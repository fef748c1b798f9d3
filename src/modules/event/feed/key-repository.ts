import { sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { orderingKey, orderingRule } from '../intake/ordering.ts'
import { subjectOf } from '../intake/compose.ts'

/** Bodies of 1 MB at most that are read by one statement. */
const BODIES_READ = 16

/**
 * The ordering keys of events at plugins, by event and plugin, for what was not given any at intake: the plugin was not
 * there yet, or did not want its deliveries in order. Left out: what has none.
 */
export async function keysOf(
  trx: Transaction<DB>,
  tenantId: string,
  wanted: readonly { eventId: string; event: string; pluginId: string }[],
): Promise<Map<string, string>> {
  const keys = new Map<string, string>()
  if (wanted.length === 0) return keys
  const rules = await selectRules(trx, tenantId, [...new Set(wanted.map(({ pluginId }) => pluginId))])
  const keyed = wanted.filter(({ pluginId }) => rules.has(pluginId))
  for (let from = 0; from < keyed.length; from += BODIES_READ) {
    const chunk = keyed.slice(from, from + BODIES_READ)
    const bodies = await selectBodies(
      trx,
      tenantId,
      chunk.map(({ eventId }) => eventId),
    )
    for (const { eventId, event, pluginId } of chunk) {
      const body = bodies.get(eventId)
      const rule = rules.get(pluginId)
      if (body === undefined || rule === undefined) continue
      const { data, cloudevent } = readJson(body) as { data: unknown; cloudevent?: Record<string, unknown> }
      const key = orderingKey(pluginId, rule, { event, data, subject: subjectOf(cloudevent) })
      if (key !== null) keys.set(`${eventId} ${pluginId}`, key)
    }
  }
  return keys
}

async function selectRules(trx: Transaction<DB>, tenantId: string, pluginIds: readonly string[]) {
  const rows = await trx
    .selectFrom('plugins')
    .select(['id', 'ordering', 'ordering_key'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', sql<string>`any(${pluginIds}::uuid[])`)
    .where('ordering', '<>', 'none')
    .execute()
  return new Map(rows.map((row) => [row.id, orderingRule(row.ordering, row.ordering_key)]))
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
