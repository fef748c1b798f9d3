import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readTimeRange } from '#infra/http/log-filters.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { decodeCursor, encodeCursor } from '#lib/api/cursor.ts'
import { isEventPattern, matchesPattern } from '#lib/event-pattern.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { idsBeginningWith, LOWEST_ID } from '#lib/id-range.ts'
import { type EventScan, idsFound, type ListedEvent, scanEvents, selectHorizon } from './list-repository.ts'
import { pluginNamed, typesOf } from './lookup-repository.ts'
import {
  endOfFeed,
  type ShownEvent,
  type FeedKey,
  findSubscriber,
  selectShownEvents,
  startOfFeed,
} from './repository.ts'
import type { EventPage, FeedQuery } from './schemas.ts'
import { TenantSnapshot } from '../intake/snapshot.ts'
import { readBody, viewEvent } from './view.ts'

export interface FeedContext {
  db: Kysely<DB>
}

const START: FeedKey = { position: '-1', id: '00000000-0000-0000-0000-000000000000' }
/** Events that are looked at by one statement when some are left out. */
const MAX_SCANNED = 2_000
/** Statements for one page of the newest: it may then be short, but always gets on. In feed order it is one. */
const MAX_SCANS = 10
/** A page ends early rather than hold more than this in memory. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024
const POSITION = /^(?:-1|\d{1,19})$/
const MAX_POSITION = 2n ** 63n - 1n

/**
 * A page of the tenant's events in the order of the feed, or the newest first; of a plugin's key, those since its
 * registration that the plugin is subscribed to as it is now. `next_cursor` is where to go on, also from an empty page.
 */
export async function readFeed(
  ctx: FeedContext,
  tenantId: string,
  pluginId: string | null,
  query: FeedQuery,
): Promise<EventPage> {
  const asked = query.after ?? query.cursor
  const after = asked === undefined ? null : readCursor(asked)
  const { event: pattern, limit, order } = query
  if (pattern !== undefined && !isEventPattern(pattern)) {
    const detail = 'must be an event type, product.* or *'
    throw invalidRequest(undefined, { errors: [{ pointer: '/querystring/event', detail }] })
  }
  const { since: from, until } = readTimeRange(query)
  const subscriber = pluginId === null ? null : await findSubscriber(ctx.db, tenantId, pluginId)
  const plugin = pluginId === null ? null : pluginSnapshot(pluginId, subscriber ?? undefined)
  // What happened before a plugin was there is not its business.
  const since = latest(from, subscriber?.registeredAt ?? null)
  // What is looked up now knows nothing of an event that comes before the scan: a cursor must not pass it.
  const looksUp = query.q !== undefined || query.plugin !== undefined || pattern !== undefined
  const seenUpTo = looksUp ? await selectHorizon(ctx.db) : null
  const found = query.q === undefined ? null : await idsFound(ctx.db, tenantId, query.q)
  const isSought = query.q === undefined || found !== null ? () => true : beginsWith(query.q)
  const isWanted = (row: ListedEvent): boolean =>
    (pattern === undefined || matchesPattern(pattern, row.event)) &&
    (query.source === undefined || row.source === query.source) &&
    (plugin === null || plugin.isWanted(row.event)) &&
    (since === null || row.received_at >= since) &&
    (until === null || row.received_at < until) &&
    isSought(row)

  const scan: EventScan = {
    order,
    horizon: seenUpTo,
    after,
    start: since === null ? null : await startOfFeed(ctx.db, tenantId, since),
    end: until === null ? null : await endOfFeed(ctx.db, tenantId, until),
    types: pattern === undefined ? null : await typesOf(ctx.db, 'events', tenantId, pattern),
    publisherId: query.plugin === undefined ? null : await publisherOf(ctx, tenantId, query.plugin),
    ids: found,
    sourceId: query.source_id ?? null,
    limit,
  }
  // What the statement itself leaves out costs nothing.
  const leavesOut =
    query.source !== undefined ||
    plugin !== null ||
    since !== null ||
    until !== null ||
    (query.q !== undefined && found === null) ||
    (pattern !== undefined && scan.types === null)
  const { ids, last, hasMore, horizon } = await collect(ctx, tenantId, scan, isWanted, leavesOut)
  const rows = await selectShownEvents(ctx.db, tenantId, ids)
  if (order === 'desc') rows.reverse()
  const end = order === 'asc' ? furthest(after ?? START, horizon) : (last ?? after ?? START)
  return {
    data: (plugin === null ? rows : await wantedBy(plugin, tenantId, rows)).map(viewEvent),
    next_cursor: cursorOf(hasMore && last !== null ? last : end),
    has_more: hasMore,
  }
}

interface Collected {
  ids: string[]
  /** The last one that was looked at. */
  last: FeedKey | null
  hasMore: boolean
  horizon: string
}

async function collect(
  ctx: FeedContext,
  tenantId: string,
  scan: EventScan,
  isWanted: (event: ListedEvent) => boolean,
  leavesOut: boolean,
): Promise<Collected> {
  const { order, limit } = scan
  const collected: Collected = { ids: [], last: null, hasMore: true, horizon: '0' }
  let bytes = 0
  let scanned = leavesOut && order === 'asc' ? Math.max(limit, MAX_SCANNED) : limit + 1
  for (let scans = 0; scans < (leavesOut && order === 'desc' ? MAX_SCANS : 1); scans++) {
    const { horizon, events } = await scanEvents(ctx.db, tenantId, {
      ...scan,
      after: collected.last ?? scan.after,
      limit: scanned,
    })
    collected.horizon = horizon
    for (const event of events) {
      if (isWanted(event)) {
        bytes += event.size ?? 0
        const isFull = collected.ids.length === limit
        if (isFull || (collected.ids.length > 0 && bytes > MAX_PAGE_BYTES)) return collected
        collected.ids.push(event.id)
      }
      collected.last = { position: event.position, id: event.id }
    }
    collected.hasMore = events.length === scanned
    if (!collected.hasMore || collected.ids.length === limit) break
    scanned = MAX_SCANNED
  }
  return collected
}

function beginsWith(text: string): (event: ListedEvent) => boolean {
  const range = idsBeginningWith(text)
  return ({ id, source_id }) =>
    (range !== null && id >= range.from && id <= range.to) || (source_id?.startsWith(text) ?? false)
}

/** One that nobody has: no event is of it. */
async function publisherOf(ctx: FeedContext, tenantId: string, slug: string): Promise<string> {
  return (await pluginNamed(ctx.db, tenantId, slug)) ?? LOWEST_ID
}

/** With those that cannot be decided: who reconciles misses none. */
async function wantedBy(plugin: TenantSnapshot, tenantId: string, rows: readonly ShownEvent[]) {
  const wanted: ShownEvent[] = []
  for (const row of rows) {
    await loopShare.turn(tenantId)
    const { plugins, undecided } = plugin.pluginsFor(row.event, readBody(row), row.publisher_plugin_id)
    if (plugins.length + undecided.length > 0) wanted.push(row)
  }
  return wanted
}

/** Just before the first position that was not in sight: an empty page, too, moves a reader on. */
function furthest(after: FeedKey, horizon: string): FeedKey {
  return BigInt(horizon) > BigInt(after.position) ? { ...START, position: horizon } : after
}

function cursorOf({ position, id }: FeedKey): string {
  return encodeCursor([position, id])
}

function readCursor(text: string): FeedKey {
  const [position, id] = decodeCursor(text, ['string', 'uuid']) ?? []
  if (typeof position !== 'string' || typeof id !== 'string') throw invalidCursor()
  if (!POSITION.test(position) || BigInt(position) > MAX_POSITION) throw invalidCursor()
  return { position, id }
}

function latest(a: Date | null, b: Date | null): Date | null {
  return a === null || (b !== null && b > a) ? b : a
}

function pluginSnapshot(
  pluginId: string,
  subscriber: Awaited<ReturnType<typeof findSubscriber>>,
): TenantSnapshot {
  return new TenantSnapshot({
    version: 0,
    strict: false,
    hasFlows: false,
    types: [],
    seen: [],
    plugins: subscriber === undefined ? [] : [{ id: pluginId, ...subscriber }],
  })
}
