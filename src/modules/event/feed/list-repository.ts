import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { idsBeginningWith } from '#lib/id-range.ts'
import type { FeedKey, ScannedEvent } from './repository.ts'

export interface ListedEvent extends ScannedEvent {
  source: string
  source_id: string | null
}

export interface EventScan {
  order: 'asc' | 'desc'
  /** Events from that position on are not looked at yet; null: what is in sight decides alone. */
  horizon: string | null
  /** The end of the page before; null: nothing was read yet. */
  after: FeedKey | null
  /** Events up to that place are left out; null: none. */
  start: FeedKey | null
  /** Events from that position on are left out; null: none. */
  end: string | null
  /** Only these types; null: any. */
  types: readonly string[] | null
  publisherId: string | null
  ids: readonly string[] | null
  sourceId: string | null
  limit: number
}

/** Everything below this position is in sight, now and for ever. */
export async function selectHorizon(db: Kysely<DB>): Promise<string> {
  const { rows } = await sql<{ horizon: string }>`select feed_writer_horizon()::text as horizon`.execute(db)
  return rows[0]?.horizon ?? '0'
}

/**
 * Events in feed order or against it, all of them below the horizon, so that nothing appears later between those that
 * were read. Types are looked up one by one, each for one page: with an equality the planner, who does not know how
 * rare a type is, would rather read the feed.
 */
export async function scanEvents(
  db: Kysely<DB>,
  tenantId: string,
  scan: EventScan,
): Promise<{ horizon: string; events: ListedEvent[] }> {
  const { order, horizon, after, start, end, types, publisherId, ids, sourceId, limit } = scan
  const way = order === 'asc' ? sql`asc` : sql`desc`
  const conditions: RawBuilder<unknown>[] = [
    sql`tenant_id = ${tenantId} and position < least(horizon.position, ${end}::bigint)`,
  ]
  const add = (condition: RawBuilder<unknown>): void => void conditions.push(condition)
  if (after !== null) add(order === 'asc' ? isBehind(after) : isBefore(after))
  if (start !== null) add(isBehind(start))
  if (types !== null) add(sql`event collate "C" between type.value and type.value`)
  if (publisherId !== null) add(sql`publisher_plugin_id = ${publisherId}`)
  if (ids !== null) add(sql`id = any(${ids}::uuid[])`)
  if (sourceId !== null) add(sql`source_id = ${sourceId}`)
  const { rows } = await sql<{ horizon: string } & { [K in keyof ListedEvent]: ListedEvent[K] | null }>`
    with horizon as materialized (select least(feed_writer_horizon(), ${horizon}::bigint) as position)
    select horizon.position::text as horizon, scan.position::text, scan.id, scan.event, scan.received_at, scan.source,
      scan.source_id, scan.size
    from horizon
    left join lateral (
      select found.* from unnest(${types ?? [null]}::text[]) as type (value)
      cross join lateral (
        select position, id, event, received_at, source, source_id, octet_length(body) as size
        from events where ${sql.join(conditions, sql` and `)}
        order by ${types === null ? sql`` : sql`event collate "C" ${way},`} position ${way}, id ${way} limit ${limit}
      ) found
      order by found.position ${way}, found.id ${way} limit ${limit}
    ) as scan on true
    order by scan.position ${way}, scan.id ${way}`.execute(db)
  return {
    horizon: rows[0]?.horizon ?? '0',
    events: rows.filter((row): row is { horizon: string } & ListedEvent => row.id !== null),
  }
}

function isBehind({ position, id }: FeedKey): RawBuilder<unknown> {
  return sql`(position, id) > (${position}::bigint, ${id}::uuid)`
}

function isBefore({ position, id }: FeedKey): RawBuilder<unknown> {
  return sql`(position, id) < (${position}::bigint, ${id}::uuid)`
}

/** Events of one search that are looked up one by one; beyond that the feed is read in order. */
const MAX_FOUND = 1_000

/** Those whose id or source id begins with the text; null: too many. */
export async function idsFound(db: Kysely<DB>, tenantId: string, text: string): Promise<string[] | null> {
  const range = idsBeginningWith(text)
  const byId =
    range === null
      ? sql``
      : sql`(select id from events where tenant_id = ${tenantId} and id between ${range.from} and ${range.to}
         order by id desc limit ${MAX_FOUND + 1}) union`
  const { rows } = await sql<{ id: string }>`
    ${byId}
    (select id from events
     where tenant_id = ${tenantId} and source_id >= ${text} and source_id < ${text} || chr(1114111)
     limit ${MAX_FOUND + 1})`.execute(db)
  return rows.length > MAX_FOUND ? null : rows.map(({ id }) => id)
}

export interface CausedEvent {
  id: string
  event: string
  publisher: string
  received_at: Date
}

/** The events that an event has caused, the newest first. */
export async function selectCaused(
  db: Kysely<DB>,
  tenantId: string,
  eventId: string,
  limit: number,
): Promise<CausedEvent[]> {
  return db
    .selectFrom('events as e')
    .leftJoin('plugins as p', (join) =>
      join.onRef('p.id', '=', 'e.publisher_plugin_id').onRef('p.tenant_id', '=', 'e.tenant_id'),
    )
    .select(['e.id', 'e.event', 'e.received_at'])
    .select(sql<string>`coalesce(p.slug, 'platform')`.as('publisher'))
    .where('e.tenant_id', '=', tenantId)
    .where('e.causation_id', '=', eventId)
    .orderBy('e.id', 'desc')
    .limit(limit)
    .execute()
}

export interface StartedExecution {
  id: string
  flow_id: string
  flow_name: string | null
  status: string
}

/** The executions that an event has started, the newest first; retries are their own. */
export async function selectStarted(
  db: Kysely<DB>,
  tenantId: string,
  eventId: string,
  limit: number,
): Promise<StartedExecution[]> {
  return (
    db
      .selectFrom('automation_flows as f')
      // By flow, as the index is.
      .innerJoin('automation_executions as e', (join) =>
        join.onRef('e.flow_id', '=', 'f.id').onRef('e.tenant_id', '=', 'f.tenant_id'),
      )
      .select(['e.id', 'e.flow_id', 'f.name as flow_name', 'e.status'])
      .where('f.tenant_id', '=', tenantId)
      .where('e.event_id', '=', eventId)
      .where('e.retry_of', 'is', null)
      .orderBy('e.id', 'desc')
      .limit(limit)
      .execute()
  )
}
