import { type Kysely, sql } from 'kysely'
import type { DB, EventSource } from '#db/schema.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'

/** The place of an event in the feed. Text: positions go beyond what a JavaScript number holds. */
export interface FeedKey {
  position: string
  id: string
}

export interface ScannedEvent extends FeedKey {
  event: string
  received_at: Date
  /** Bytes of the body; null when it is gone. */
  size: number | null
}

export interface FeedScan {
  /** Everything below this position is in sight, now and for ever. */
  horizon: string
  events: ScannedEvent[]
}

export interface FeedRange {
  after: FeedKey
  limit: number
}

/**
 * Events behind a key, in feed order. Transactions commit in another order than they begin; an event below the
 * horizon that is not visible by now never will be, so that a reader who goes on behind what he saw misses nothing.
 * The horizon is asked once: a second answer may lie beyond what the scan went up to.
 */
export async function scanFeed(
  db: Kysely<DB>,
  tenantId: string,
  { after, limit }: FeedRange,
): Promise<FeedScan> {
  const { rows } = await sql<{ horizon: string } & { [K in keyof ScannedEvent]: ScannedEvent[K] | null }>`
    with horizon as materialized (select feed_writer_horizon() as position)
    select horizon.position::text as horizon, scan.position::text, scan.id, scan.event, scan.received_at, scan.size
    from horizon
    left join lateral (
      select position, id, event, received_at, octet_length(body) as size
      from events
      where tenant_id = ${tenantId} and position < horizon.position
        and (position, id) > (${after.position}::bigint, ${after.id}::uuid)
      order by position, id limit ${limit}
    ) as scan on true
    order by scan.position, scan.id`.execute(db)
  return {
    horizon: rows[0]?.horizon ?? after.position,
    events: rows.filter((row): row is { horizon: string } & ScannedEvent => row.id !== null),
  }
}

/**
 * Ids are in order of time and positions nearly so: an event whose id is younger than another's by this much was not
 * begun before it. No transaction here is open for so long, and no clock so wrong.
 */
const FEED_SLACK_MS = ID_CLOCK_SLACK_MS

/** A place in the feed that nothing received since then stands before; null: its beginning. */
export async function startOfFeed(db: Kysely<DB>, tenantId: string, since: Date): Promise<FeedKey | null> {
  const { rows } = await sql<FeedKey>`
    select (position - 1)::text as position, id from events
    where tenant_id = ${tenantId} and id < ${lowestIdAt(since.getTime() - FEED_SLACK_MS)}
    order by id desc limit 1`.execute(db)
  return rows[0] ?? null
}

/** A position from which on nothing was received before then; null: there is none yet. */
export async function endOfFeed(db: Kysely<DB>, tenantId: string, until: Date): Promise<string | null> {
  const { rows } = await sql<{ position: string }>`
    select (position + 1)::text as position from events
    where tenant_id = ${tenantId} and id >= ${lowestIdAt(until.getTime() + FEED_SLACK_MS)}
    order by id limit 1`.execute(db)
  return rows[0]?.position ?? null
}

export interface EventRow {
  id: string
  source_id: string | null
  event: string
  source: EventSource
  publisher_plugin_id: string | null
  key_id: string | null
  occurred_at: Date
  received_at: Date
  body: string | null
  body_gone: 'expired' | 'erased' | null
  schema_problems: { pointer: string; detail: string }[] | null
  causation_id: string | null
  causation_depth: number
  filtered_plugins: string[] | null
}

/** An event as callers see it. */
export interface ShownEvent extends EventRow {
  /** The slug of the plugin that published it. */
  publisher: string | null
}

const EVENT_COLUMNS = [
  'id',
  'source_id',
  'event',
  'source',
  'publisher_plugin_id',
  'key_id',
  'occurred_at',
  'received_at',
  'body',
  'body_gone',
  'schema_problems',
  'causation_id',
  'causation_depth',
  'filtered_plugins',
] as const

const PUBLISHER = sql<string | null>`(select slug from plugins
  where plugins.id = events.publisher_plugin_id and plugins.tenant_id = events.tenant_id)`.as('publisher')

export async function selectEvents(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<EventRow[]> {
  return ids.length === 0 ? [] : eventsInOrder(db, tenantId, ids).execute()
}

/** The same, as callers see them. */
export async function selectShownEvents(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<ShownEvent[]> {
  return ids.length === 0 ? [] : eventsInOrder(db, tenantId, ids).select(PUBLISHER).execute()
}

function eventsInOrder(db: Kysely<DB>, tenantId: string, ids: readonly string[]) {
  return db
    .selectFrom('events')
    .select(EVENT_COLUMNS)
    .where('tenant_id', '=', tenantId)
    .where('id', 'in', ids)
    .orderBy('position')
    .orderBy('id')
}

export async function findEvent(
  db: Kysely<DB>,
  tenantId: string,
  by: { id: string } | { sourceId: string; publisher: string | null },
): Promise<ShownEvent | undefined> {
  const query = db
    .selectFrom('events')
    .select(EVENT_COLUMNS)
    .select(PUBLISHER)
    .where('tenant_id', '=', tenantId)
  return 'id' in by
    ? query.where('id', '=', by.id).executeTakeFirst()
    : query
        .where('source_id', '=', by.sourceId)
        // Ids are each publisher's own: who asks means its own event, else the platform's.
        .orderBy(sql`publisher_plugin_id is not distinct from ${by.publisher}::uuid`, 'desc')
        .orderBy(sql`publisher_plugin_id is null`, 'desc')
        .orderBy('id')
        .executeTakeFirst()
}

/** Finds what decides which events a plugin gets; undefined: it is not there. */
export async function findSubscriber(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
): Promise<
  | {
      includeOwn: boolean
      subscriptions: readonly { event: string; filter?: unknown }[]
      registeredAt: Date
    }
  | undefined
> {
  return db
    .selectFrom('plugins')
    .select(['subscriptions', 'include_own as includeOwn', 'created_at as registeredAt'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}
