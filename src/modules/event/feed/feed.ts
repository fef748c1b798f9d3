import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readTimeRange } from '#infra/http/log-filters.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { decodeCursor, encodeCursor } from '#lib/api/cursor.ts'
import { isEventPattern, matchesPattern } from '#lib/event-pattern.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import {
  endOfFeed,
  type ShownEvent,
  type FeedKey,
  findSubscriber,
  scanFeed,
  type ScannedEvent,
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
/** Events that one page looks at when it leaves some out: it may then be short, but always gets on. */
const MAX_SCANNED = 2_000
/** A page ends early rather than hold more than this in memory. */
const MAX_PAGE_BYTES = 4 * 1024 * 1024
const POSITION = /^(?:-1|\d{1,19})$/
const MAX_POSITION = 2n ** 63n - 1n

/**
 * A page of the tenant's events in the order of the feed; of a plugin's key, those since its registration that the plugin
 * is subscribed to as it is now. `next_cursor` is where to go on, also from an empty page.
 */
export async function readFeed(
  ctx: FeedContext,
  tenantId: string,
  pluginId: string | null,
  query: FeedQuery,
): Promise<EventPage> {
  const after = readCursor(query.after ?? query.cursor)
  const { event: pattern, limit } = query
  if (pattern !== undefined && !isEventPattern(pattern)) {
    const detail = 'must be an event type, product.* or *'
    throw invalidRequest(undefined, { errors: [{ pointer: '/querystring/event', detail }] })
  }
  const { since: asked, until } = readTimeRange(query)
  const subscriber = pluginId === null ? null : await findSubscriber(ctx.db, tenantId, pluginId)
  const plugin = pluginId === null ? null : pluginSnapshot(pluginId, subscriber ?? undefined)
  // What happened before a plugin was there is not its business.
  const since = latest(asked, subscriber?.registeredAt ?? null)
  const isWanted = ({ event, received_at }: ScannedEvent): boolean =>
    (pattern === undefined || matchesPattern(pattern, event)) &&
    (plugin === null || plugin.isWanted(event)) &&
    (since === null || received_at >= since) &&
    (until === null || received_at < until)

  const takesAll = pattern === undefined && plugin === null && since === null && until === null
  const scanned = takesAll ? limit : Math.max(limit, MAX_SCANNED)
  const { horizon, events } = await scanFeed(ctx.db, tenantId, {
    after: since === null ? after : later(after, await startOfFeed(ctx.db, tenantId, since)),
    before: until === null ? null : await endOfFeed(ctx.db, tenantId, until),
    sourceId: query.source_id ?? null,
    limit: scanned,
  })
  const { picked, last } = pick(events, isWanted, limit)
  const rows = await selectShownEvents(
    ctx.db,
    tenantId,
    picked.map(({ id }) => id),
  )
  const hasMore = last !== events.at(-1) || events.length === scanned
  return {
    data: (plugin === null ? rows : await wantedBy(plugin, tenantId, rows)).map(viewEvent),
    next_cursor: cursorOf(hasMore && last !== undefined ? last : furthest(after, horizon)),
    has_more: hasMore,
  }
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

/** The events of the page, and the last one that was looked at. */
function pick(
  events: readonly ScannedEvent[],
  isWanted: (event: ScannedEvent) => boolean,
  limit: number,
): { picked: ScannedEvent[]; last: ScannedEvent | undefined } {
  const picked: ScannedEvent[] = []
  let bytes = 0
  let last: ScannedEvent | undefined
  for (const event of events) {
    if (isWanted(event)) {
      bytes += event.size ?? 0
      if (picked.length === limit || (picked.length > 0 && bytes > MAX_PAGE_BYTES)) break
      picked.push(event)
    }
    last = event
  }
  return { picked, last }
}

/** Just before the first position that was not in sight: an empty page, too, moves a reader on. */
function furthest(after: FeedKey, horizon: string): FeedKey {
  return BigInt(horizon) > BigInt(after.position) ? { ...START, position: horizon } : after
}

function later(a: FeedKey, b: FeedKey | null): FeedKey {
  return b !== null && BigInt(b.position) > BigInt(a.position) ? b : a
}

function cursorOf({ position, id }: FeedKey): string {
  return encodeCursor([position, id])
}

function readCursor(text: string | undefined): FeedKey {
  if (text === undefined) return START
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
