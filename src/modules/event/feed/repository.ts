import { type Kysely, sql } from 'kysely'
import type { DB, EventSource } from '#db/schema.ts'

/** Where an event stands in the feed. Text: positions go beyond what a JavaScript number holds. */
export interface FeedKey {
  position: string
  id: string
}

export interface ScannedEvent extends FeedKey {
  event: string
  /** Bytes of the body; null when it is gone. */
  size: number | null
}

export interface FeedScan {
  /** Everything below this position is in sight, now and for ever. */
  horizon: string
  events: ScannedEvent[]
}

/**
 * Events behind a key, in feed order. Transactions commit in another order than they begin; an event below the
 * horizon that is not visible by now never will be, so that a reader who goes on behind what he saw misses nothing.
 * The horizon is asked once: a second answer may lie beyond what the scan went up to.
 */
export async function scanFeed(
  db: Kysely<DB>,
  tenantId: string,
  after: FeedKey,
  limit: number,
): Promise<FeedScan> {
  const { rows } = await sql<{ horizon: string } & { [K in keyof ScannedEvent]: ScannedEvent[K] | null }>`
    with horizon as materialized (select feed_writer_horizon() as position)
    select horizon.position::text as horizon, scan.position::text, scan.id, scan.event, scan.size
    from horizon
    left join lateral (
      select position, id, event, octet_length(body) as size
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

export interface EventRow {
  id: string
  source_id: string | null
  event: string
  source: EventSource
  publisher_plugin_id: string | null
  occurred_at: Date
  received_at: Date
  body: string | null
  body_gone: 'expired' | 'erased' | null
  schema_problems: { pointer: string; detail: string }[] | null
  causation_id: string | null
  causation_depth: number
}

const EVENT_COLUMNS = [
  'id',
  'source_id',
  'event',
  'source',
  'publisher_plugin_id',
  'occurred_at',
  'received_at',
  'body',
  'body_gone',
  'schema_problems',
  'causation_id',
  'causation_depth',
] as const

export async function selectEvents(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<EventRow[]> {
  if (ids.length === 0) return []
  return db
    .selectFrom('events')
    .select(EVENT_COLUMNS)
    .where('tenant_id', '=', tenantId)
    .where('id', 'in', ids)
    .orderBy('position')
    .orderBy('id')
    .execute()
}

export async function findEvent(
  db: Kysely<DB>,
  tenantId: string,
  by: { id: string } | { sourceId: string },
): Promise<EventRow | undefined> {
  const query = db.selectFrom('events').select(EVENT_COLUMNS).where('tenant_id', '=', tenantId)
  return 'id' in by
    ? query.where('id', '=', by.id).executeTakeFirst()
    : query.where('source_id', '=', by.sourceId).executeTakeFirst()
}

export async function selectSubscriptions(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
): Promise<readonly { event: string; filter?: unknown }[]> {
  const row = await db
    .selectFrom('plugins')
    .select('subscriptions')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row?.subscriptions ?? []
}
