import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB, DeliveryStatus } from '#db/schema.ts'
import { statusesNamed, type TimeRange } from '#infra/http/log-filters.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'
import { deliveryView, isCoalescing, pluginNamed, typesOf } from '#modules/event/index.ts'
import { BEHIND, COALESCING, type DeliveryReason, HOLD_REASONS } from './schemas.ts'

export interface DeliveryFilter extends TimeRange {
  tenantId: string
  pluginId: string | null
  pluginSlug: string | null
  /** Null: any. */
  statuses: readonly DeliveryStatus[] | null
  /** An event pattern. */
  event: string | null
  eventId: string | null
  errorClass: string | null
  /** `404` or `5xx`. */
  responseStatus: string | null
  reason: DeliveryReason | null
  attemptCountMin: number | null
  limit: number
}

type Condition = RawBuilder<unknown>

/** The delivery log, newest first. */
export async function listDeliveries(db: Kysely<DB>, filter: DeliveryFilter, before: string | null) {
  const ids = await selectDeliveryIds(db, filter, { order: 'desc', behind: before })
  if (ids.length === 0) return []
  return deliveryView(db, filter.tenantId)
    .where('d.id', '=', sql<string>`any(${ids}::uuid[])`)
    .orderBy('d.id', 'desc')
    .execute()
}

/**
 * The deliveries that a filter chooses, behind one of them.
 *
 * An index gives rows in order of id only for one value of its first column. A pattern or a class of statuses is
 * therefore looked up value by value, each for one page, and the page is taken from these: however rare the rows
 * are, nothing is read in vain. Types are given as a range and are part of the order, which only their own index has:
 * with an equality the planner, who does not know how rare the type is, would rather read the log in order.
 */
export async function selectDeliveryIds(
  db: Kysely<DB>,
  filter: DeliveryFilter,
  { order, behind }: { order: 'asc' | 'desc'; behind: string | null },
): Promise<string[]> {
  const way = order === 'asc' ? sql`asc` : sql`desc`
  const conditions = await conditionsOf(db, filter)
  if (behind !== null) conditions.push(order === 'asc' ? sql`d.id > ${behind}` : sql`d.id < ${behind}`)
  const states = unhealthy(filter.statuses)
  const types = filter.event === null ? null : await typesOf(db, 'deliveries', filter.tenantId, filter.event)
  if (filter.event !== null && types === null) conditions.push(matchesSlowly(filter.event))
  const statuses = filter.responseStatus === null ? null : statusesNamed(filter.responseStatus)
  if (statuses !== null && !COMMON_STATUSES.some((status) => statuses.includes(status))) {
    conditions.push(sql`d.last_response_status not in (200, 204)`)
  }
  const { rows } = await sql<{ id: string }>`
    select found.id from ${alternatives('type', sql`text`, types)}
    cross join ${alternatives('status', sql`smallint`, rare(statuses))}
    cross join ${alternatives('state', sql`text`, states)}
    cross join lateral (
      select d.id from deliveries d
      where ${sql.join(
        [
          ...conditions,
          ...(types === null ? [] : [sql`d.event collate "C" between type.value and type.value`]),
          ...statusConditions(statuses),
          ...(states === null ? [] : [sql`d.status = state.value and d.status in ('retry', 'failed')`]),
        ],
        sql` and `,
      )}
      order by ${types === null ? sql`` : sql`d.event collate "C" ${way},`} d.id ${way} limit ${filter.limit}
    ) found
    order by found.id ${way} limit ${filter.limit}`.execute(db)
  return rows.map(({ id }) => id)
}

/** The statuses to look up one by one, as their index has them; null: none, or one alone, or others among them. */
function unhealthy(statuses: readonly DeliveryStatus[] | null): readonly DeliveryStatus[] | null {
  const isIndexed = statuses?.every((status) => status === 'retry' || status === 'failed') ?? false
  return isIndexed && statuses !== null && statuses.length > 1 ? statuses : null
}

/** The usual ends of deliveries are found by reading the log in order, and are not indexed. */
const COMMON_STATUSES: readonly number[] = [200, 204]

/** The statuses to look up one by one; null: none, or a class that the log is full of. */
function rare(statuses: readonly number[] | null): readonly number[] | null {
  return statuses === null || COMMON_STATUSES.some((status) => statuses.includes(status)) ? null : statuses
}

function statusConditions(statuses: readonly number[] | null): Condition[] {
  if (statuses === null) return []
  return rare(statuses) === null
    ? [sql`d.last_response_status between ${statuses[0]} and ${statuses.at(-1)}`]
    : [sql`d.last_response_status = status.value`]
}

/** A table with a row for each value; with one row of null where there is no choice. */
function alternatives(name: string, type: Condition, values: readonly (string | number)[] | null): Condition {
  return sql`unnest(${values ?? [null]}::${type}[]) as ${sql.ref(name)} (value)`
}

async function conditionsOf(db: Kysely<DB>, filter: DeliveryFilter): Promise<Condition[]> {
  const { tenantId, pluginId, pluginSlug, statuses, since, until } = filter
  const conditions: Condition[] = [sql`d.tenant_id = ${tenantId}`]
  const add = (condition: Condition): void => void conditions.push(condition)
  if (pluginId !== null) add(sql`d.plugin_id = ${pluginId}`)
  if (pluginSlug !== null) {
    const named = await pluginNamed(db, tenantId, pluginSlug)
    add(named === undefined ? sql`false` : sql`d.plugin_id = ${named}`)
  }
  if (statuses?.length === 1) add(sql`d.status = ${statuses[0]}`)
  else if (statuses !== null && unhealthy(statuses) === null) {
    add(sql`d.status = any(${statuses}::text[])`)
  }
  if (filter.eventId !== null) add(sql`d.event_id = ${filter.eventId}`)
  // Ids are in order of time, but for the clocks that minted them.
  if (since !== null) {
    add(sql`d.created_at >= ${since} and d.id >= ${lowestIdAt(since.getTime() - ID_CLOCK_SLACK_MS)}`)
  }
  if (until !== null) {
    add(sql`d.created_at < ${until} and d.id < ${lowestIdAt(until.getTime() + ID_CLOCK_SLACK_MS)}`)
  }
  if (filter.errorClass !== null) add(sql`d.last_error_class = ${filter.errorClass}`)
  if (filter.reason !== null) add(reasonCondition(tenantId, filter.reason))
  if (filter.attemptCountMin !== null) {
    add(sql`d.attempt_count >= ${filter.attemptCountMin}`)
    if (filter.attemptCountMin > 1) add(sql`d.attempt_count > 1`)
  }
  return conditions
}

/** The reason as deliveryView shows it: while a delivery waits, what holds its plugin comes first. */
function reasonCondition(tenantId: string, reason: DeliveryReason): Condition {
  const plugins = (which: Condition): Condition => sql`(
    select p.id from plugins p left join delivery_lanes l on l.plugin_id = p.id and l.tenant_id = p.tenant_id
    where p.tenant_id = ${tenantId} and (${which}))`
  const waits = sql`d.status in ('pending', 'retry')`
  if (!isHoldReason(reason)) {
    const held = plugins(
      sql`p.status <> 'active' or l.secret_unreadable or (l.hold_until > now() and l.hold_reason is not null)`,
    )
    if (reason === BEHIND) return sql`d.behind_since is not null and ${waits} and d.plugin_id not in ${held}`
    // `waits` beside it, for the index of those that may.
    if (reason === COALESCING) return sql`${isCoalescing()} and ${waits} and d.plugin_id not in ${held}`
    return sql`d.reason = ${reason} and not (${waits} and (d.behind_since is not null or ${isCoalescing()} or d.plugin_id in ${held}))`
  }
  const which = reason.startsWith('plugin_')
    ? sql`p.status = ${reason.slice('plugin_'.length)}`
    : reason === 'secret_unreadable'
      ? sql`p.status = 'active' and l.secret_unreadable`
      : sql`p.status = 'active' and not l.secret_unreadable and l.hold_until > now() and l.hold_reason = ${reason}`
  return sql`${waits} and d.plugin_id in ${plugins(which)}`
}

function isHoldReason(reason: string): boolean {
  return (HOLD_REASONS as readonly string[]).includes(reason)
}

function matchesSlowly(pattern: string): Condition {
  return pattern === '*' ? sql`true` : sql`starts_with(d.event, ${pattern.slice(0, -1)})`
}
