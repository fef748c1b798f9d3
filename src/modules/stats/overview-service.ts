import type { LRUCache } from 'lru-cache'
import { STATS } from '#infra/statistics/tables.ts'
import { boundedCache } from '#lib/bounded-cache.ts'
import { now } from '#lib/clock.ts'
import { selectHeldQueues } from '#modules/flow-engine/index.ts'
import { failingFlow, halted, heldQueue, inOrder, pausedFlow, setAside, troubleOf } from './attention.ts'
import {
  countEvents,
  countSetAside,
  EACH_MAX,
  selectFailingFlows,
  selectHaltedAt,
  selectLastChange,
  selectPausedFlows,
  selectPluginTrouble,
  selectPresence,
  WAITING_MAX,
} from './overview-repository.ts'
import type { Overview } from './overview-schemas.ts'
import type { FoldedSeries } from './series.ts'
import { MEASURES, readSeries, type StatsContext } from './service.ts'

const CACHE_MS = 5_000
const CACHE_MAX = 1_000
const EVENTS_MAX = 10_000
/** Up to so many hours are shown by five minutes. */
const FINE_HOURS = 6
/** The first one tries again at least every minute: what passes by itself within that is nothing to look at. */
const HELD_MS = 60_000

export type OverviewCache = LRUCache<string, Promise<Overview>>

export function createOverviewCache(): OverviewCache {
  return boundedCache(CACHE_MAX, CACHE_MS)
}

/** Reads a tenant's overview at most once in 5 s, however many ask, unless somebody has changed something meanwhile. */
export async function readOverview(
  ctx: StatsContext & { overviews: OverviewCache },
  tenantId: string,
  hours: number,
): Promise<Overview> {
  const key = `${tenantId} ${hours} ${await selectLastChange(ctx.db, tenantId)}`
  const known = ctx.overviews.get(key)
  if (known !== undefined) return known
  const reading = collect(ctx, tenantId, hours)
  ctx.overviews.set(key, reading)
  try {
    return await reading
  } catch (error) {
    ctx.overviews.delete(key)
    throw error
  }
}

async function collect({ db }: StatsContext, tenantId: string, hours: number): Promise<Overview> {
  const step = hours <= FINE_HOURS ? '5m' : '1h'
  const stepSeconds = step === '5m' ? 300 : 3_600
  const until = Math.ceil(now() / (stepSeconds * 1_000)) * stepSeconds
  const since = until - hours * 3_600
  const range = { step, stepSeconds, since: new Date(since * 1_000), until: new Date(until * 1_000) } as const
  // One after the other: a page that many look at is not to take all of the requests' connections.
  const [deliveries] = await readSeries(db, tenantId, { kind: 'deliveries', range, where: [], group: null })
  const [executions] = await readSeries(db, tenantId, { kind: 'executions', range, where: [], group: null })
  const failing = await selectFailingFlows(db, tenantId, {
    table: STATS.executions,
    tenantId,
    where: [],
    ...range,
  })
  const events = await countEvents(db, tenantId, range.since, EVENTS_MAX + 1)
  const plugins = await selectPluginTrouble(db, tenantId)
  const paused = await selectPausedFlows(db, tenantId)
  const held = await selectHeldQueues(db, tenantId, {
    olderThanMs: HELD_MS,
    targets: EACH_MAX,
    waiting: WAITING_MAX,
  })
  const haltedAt = await selectHaltedAt(db, tenantId)
  const aside = await countSetAside(db, tenantId)
  const has = await selectPresence(db, tenantId)
  const line = (series: FoldedSeries | undefined, counts: readonly string[]): number[] =>
    lineOf(series, counts, { since, until, stepSeconds })
  return {
    since: range.since,
    until: range.until,
    step,
    has,
    counts: {
      deliveries: (deliveries?.totals ?? NOTHING_SENT) as Overview['counts']['deliveries'],
      events: { accepted: Math.min(events, EVENTS_MAX), at_least: events > EVENTS_MAX },
      executions: (executions?.totals ?? NOTHING_RUN) as Overview['counts']['executions'],
    },
    sparklines: {
      sent: line(deliveries, ['sent']),
      retried: line(deliveries, ['retried']),
      failed: line(deliveries, ['failed']),
      executions: line(executions, MEASURES.executions.weight),
      executions_failed: line(executions, ['failed']),
    },
    attention: inOrder([
      ...(haltedAt === null ? [] : [halted(haltedAt)]),
      ...plugins.flatMap(troubleOf),
      ...paused.map(pausedFlow),
      ...failing.map(failingFlow),
      ...held.map(heldQueue),
      ...(aside.count === 0 ? [] : [setAside(aside.count, aside.since)]),
    ]),
  }
}

const noneOf = (counts: readonly string[]) => Object.fromEntries(counts.map((name) => [name, 0]))
const NOTHING_SENT = { ...noneOf(STATS.deliveries.counts), p50_ms: null, p95_ms: null }
const NOTHING_RUN = noneOf(STATS.executions.counts)

/** A number for each step, also for those in which nothing happened. */
function lineOf(
  series: FoldedSeries | undefined,
  counts: readonly string[],
  { since, until, stepSeconds }: { since: number; until: number; stepSeconds: number },
): number[] {
  const line = new Array<number>((until - since) / stepSeconds).fill(0)
  for (const point of series?.points ?? []) {
    const index = (Date.parse(point.t) / 1_000 - since) / stepSeconds
    for (const count of counts) line[index] = (line[index] ?? 0) + Number(point[count])
  }
  return line
}
