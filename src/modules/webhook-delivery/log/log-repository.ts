import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB, DeliveryStatus } from '#db/schema.ts'
import { statusesNamed, type TimeRange } from '#infra/http/log-filters.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'
import { deliveryView } from '#modules/event/index.ts'
import { type DeliveryReason, HOLD_REASONS } from './schemas.ts'

export interface DeliveryFilter extends TimeRange {
  tenantId: string
  pluginId: string | null
  pluginSlug: string | null
  status: DeliveryStatus | null
  /** An event pattern. */
  event: string | null
  eventId: string | null
  errorClass: string | null
  /** `404` or `5xx`. */
  responseStatus: string | null
  reason: DeliveryReason | null
  attemptCountMin: number | null
  beforeId: string | null
  limit: number
}

type Condition = RawBuilder<unknown>

/** Types of one pattern that are looked up one by one; beyond that the log is read in order. */
const MAX_TYPES = 500

/**
 * The delivery log, newest first.
 *
 * An index gives rows in order of id only for one value of its first column. A pattern or a class of statuses is
 * therefore looked up value by value, each for one page, and the page is taken from these: however rare the rows
 * are, nothing is read in vain. Types are given as a range and are part of the order, which only their own index has:
 * with an equality the planner, who does not know how rare the type is, would rather read the log in order.
 */
export async function listDeliveries(db: Kysely<DB>, filter: DeliveryFilter) {
  const conditions = await conditionsOf(db, filter)
  const types = filter.event === null ? null : await typesOf(db, filter.tenantId, filter.event)
  if (filter.event !== null && types === null) conditions.push(matchesSlowly(filter.event))
  const statuses = filter.responseStatus === null ? null : statusesNamed(filter.responseStatus)
  if (statuses !== null && !COMMON_STATUSES.some((status) => statuses.includes(status))) {
    conditions.push(sql`d.last_response_status not in (200, 204)`)
  }
  const { rows } = await sql<{ id: string }>`
    select found.id from ${alternatives('type', sql`text`, types)}
    cross join ${alternatives('status', sql`smallint`, rare(statuses))}
    cross join lateral (
      select d.id from deliveries d
      where ${sql.join(
        [
          ...conditions,
          ...(types === null ? [] : [sql`d.event collate "C" between type.value and type.value`]),
          ...statusConditions(statuses),
        ],
        sql` and `,
      )}
      order by ${types === null ? sql`` : sql`d.event collate "C" desc,`} d.id desc limit ${filter.limit}
    ) found
    order by found.id desc limit ${filter.limit}`.execute(db)
  if (rows.length === 0) return []
  return deliveryView(db, filter.tenantId)
    .where('d.id', '=', sql<string>`any(${rows.map(({ id }) => id)}::uuid[])`)
    .orderBy('d.id', 'desc')
    .execute()
}

/** What nearly every delivery ends with is found by reading the log in order, and is not indexed. */
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
  const { tenantId, pluginId, pluginSlug, status, since, until } = filter
  const conditions: Condition[] = [sql`d.tenant_id = ${tenantId}`]
  const add = (condition: Condition): void => void conditions.push(condition)
  if (pluginId !== null) add(sql`d.plugin_id = ${pluginId}`)
  if (pluginSlug !== null) {
    const named = await pluginNamed(db, tenantId, pluginSlug)
    add(named === undefined ? sql`false` : sql`d.plugin_id = ${named}`)
  }
  if (status !== null) add(sql`d.status = ${status}`)
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
  if (filter.beforeId !== null) add(sql`d.id < ${filter.beforeId}`)
  return conditions
}

/** The plugin of that slug: the live one, else the one that was deleted last. */
async function pluginNamed(db: Kysely<DB>, tenantId: string, slug: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('plugins')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('slug', '=', slug)
    .orderBy(sql`deleted_at desc nulls first`)
    .limit(1)
    .executeTakeFirst()
  return row?.id
}

/** The reason as deliveryView shows it: while a delivery waits, what holds its plugin comes first. */
function reasonCondition(tenantId: string, reason: DeliveryReason): Condition {
  const plugins = (which: Condition): Condition => sql`(
    select p.id from plugins p left join delivery_lanes l on l.plugin_id = p.id and l.tenant_id = p.tenant_id
    where p.tenant_id = ${tenantId} and (${which}))`
  const waits = sql`d.status in ('pending', 'retry')`
  if (!isHoldReason(reason)) {
    const held = plugins(sql`p.status <> 'active' or l.secret_unreadable or l.hold_until > now()`)
    return sql`d.reason = ${reason} and not (${waits} and d.plugin_id in ${held})`
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

/** The types in the log that a pattern takes, by hopping over the index; null: all, or too many. */
async function typesOf(db: Kysely<DB>, tenantId: string, pattern: string): Promise<string[] | null> {
  if (pattern === '*') return null
  if (!pattern.endsWith('.*')) return [pattern]
  const prefix = pattern.slice(0, -1)
  // '/' comes right behind '.'.
  const end = `${pattern.slice(0, -2)}/`
  const { rows } = await sql<{ type: string }>`
    with recursive hop as (
      (select event collate "C" as type from deliveries
       where tenant_id = ${tenantId} and event collate "C" >= ${prefix} and event collate "C" < ${end}
       order by event collate "C" limit 1)
      union all
      select next.type from hop cross join lateral (
        select event collate "C" as type from deliveries
        where tenant_id = ${tenantId} and event collate "C" > hop.type and event collate "C" < ${end}
        order by event collate "C" limit 1
      ) next
    )
    select type from hop limit ${MAX_TYPES + 1}`.execute(db)
  return rows.length > MAX_TYPES ? null : rows.map(({ type }) => type)
}

function matchesSlowly(pattern: string): Condition {
  return pattern === '*' ? sql`true` : sql`starts_with(d.event, ${pattern.slice(0, -1)})`
}
