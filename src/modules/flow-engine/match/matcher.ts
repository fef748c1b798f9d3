import type { FastifyBaseLogger } from 'fastify'
import type { Kysely, Transaction } from 'kysely'
import { failureText, isLockNotAvailable, isPassing, isSerialisationConflict } from '#db/errors.ts'
import type { DB, TriggerKind } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import { isProblem } from '#lib/api/problem.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { type EventService, scanFeed, type ScannedEvent, selectEvents } from '#modules/event/index.ts'
import { flowNewer } from '../errors.ts'
import { countStarts, type FlowMetrics } from '../metrics.ts'
import type { PauseReason } from '../run/flow-pause.ts'
import type { ProgramCache } from '../run/program.ts'
import { Repeats, SeenStarts } from '../start/repeats.ts'
import { ActiveFlows, cancelShapes } from './active-flows.ts'
import { takeUpMissed } from './catch-up.ts'
import { endCatchUp } from './catch-up-repository.ts'
import { type FlowCursor, lockCursor, moveCursor } from './cursor-repository.ts'
import { findBehind, hasUnseen, loadShapes, LOOK_TENANTS } from './repository.ts'
import { nextWanted, noteTakenUp, setAside } from './set-aside-repository.ts'
import { type Paused, type Started, Turn } from './turn.ts'

export interface MatcherContext {
  db: Kysely<DB>
  programs: ProgramCache
  signals: Signals
  metrics: FlowMetrics
  events: Pick<EventService, 'emitIn'>
  countPause: (reason: PauseReason) => void
  log: FastifyBaseLogger
  /** Executions that one flow may start in a minute. */
  maxStartsPerMinute: number
}

/** Events matched in one transaction. */
const BATCH_EVENTS = 500
/** Bodies of a batch together, unless the first alone is larger: what a matcher has in memory. */
const BATCH_BYTES = 16 * 1024 * 1024
/** Number of times that an event alone is tried. */
const FAILURES_MAX = 3

/** The source of what is matched: the feed, the events that were set aside, or the starts that were missed. */
type Place = 'feed' | 'set_aside' | 'missed'

interface Trouble {
  /** Of the event, or the missed start, that is next, by itself. */
  failures: number
  /** Of the last failure, for who looks after the event. */
  reason: string
  /** Those that still go alone. */
  left: number
}

interface Matched {
  /** Events that were gone through. */
  matched: number
  /** There are more that can be seen. */
  isFull: boolean
  started: Started
  /** Starts that were missed before, and have been gone through. */
  caughtUp?: number
  /** Number of those that have started, by what starts them. */
  caughtUpByKind?: ReadonlyMap<TriggerKind, number>
  /** To be told once it is committed: flows that were paused, and plugins that have a delivery by it. */
  paused?: Paused
}

const NONE_STARTED: Started = { queued: 0, skipped: 0, cancelled: 0 }
const NOTHING: Matched = { matched: 0, isFull: false, started: NONE_STARTED }

/**
 * Reads tenants' event feeds and lets events start, wake and cancel executions. For each tenant there is one cursor;
 * whoever holds it writes what a batch of events causes and moves it on, in one transaction: every event is matched
 * once, and a crash repeats nothing. The feed is gap-free (see the event module), so nothing is missed.
 */
export class Matcher {
  readonly #ctx: MatcherContext
  readonly #active: ActiveFlows
  readonly #seenStarts = new SeenStarts()
  #behind = new Set<string>()
  /** Tenants whose quota allows nothing of what they are to take up, in the order of the last looks. */
  readonly #held = new Set<string>()
  #matched = 0
  /** Of the last pass: tenants whose transaction ended well, and that failed. */
  #passed = { well: 0, failed: 0 }
  /** Tenants whose batches failed, by place: that is gone through one by one until it is over. */
  readonly #troubled: Record<Place, Map<string, Trouble>> = {
    feed: new Map(),
    set_aside: new Map(),
    missed: new Map(),
  }

  constructor(ctx: MatcherContext) {
    this.#ctx = ctx
    this.#active = new ActiveFlows(ctx.programs, ctx.log)
  }

  /** Tenants with events that the last pass could not see yet, or did not get to: transactions were open. */
  get behind(): ReadonlySet<string> {
    return this.#behind
  }

  /** Events gone through so far. */
  get matched(): number {
    return this.#matched
  }

  /** All that the last pass tried has failed. */
  get isFailing(): boolean {
    return this.#passed.failed > 0 && this.#passed.well === 0
  }

  /**
   * Matches what has come for these tenants; none named: for all that have something new.
   * @param onProgress told after each tenant
   */
  async pass(
    tenantIds: readonly string[],
    now: Date | null,
    onProgress: () => void = () => undefined,
  ): Promise<PassResult> {
    const tenants = tenantIds.length > 0 ? tenantIds : await findBehind(this.#ctx.db, [...this.#held])
    this.#behind = new Set()
    this.#passed = { well: 0, failed: 0 }
    let hasMore = false
    for (const tenantId of tenants) {
      const result = await this.#matchOne(tenantId, now)
      const { matched, isFull, caughtUp = 0 } = result
      onProgress()
      if (matched + caughtUp === 0 && !isFull) continue
      this.#count(result)
      this.#tell(tenantId, result.paused)
      this.#matched += matched
      this.#ctx.signals.publish('executions_due', [tenantId])
      if (isFull) this.#behind.add(tenantId)
      if (isFull || tenants.length === LOOK_TENANTS) hasMore = true
    }
    return hasMore ? 'more' : 'idle'
  }

  #count({ matched, started: { queued, skipped, cancelled }, caughtUpByKind = new Map() }: Matched): void {
    const { metrics } = this.#ctx
    metrics.eventsMatched.inc(matched)
    countStarts(metrics, 'event', { queued, skipped })
    for (const [kind, count] of caughtUpByKind) countStarts(metrics, kind, { queued: count, skipped: 0 })
    if (cancelled > 0) metrics.executionsEnded.inc({ outcome: 'cancelled' }, cancelled)
  }

  #tell(tenantId: string, paused: Paused | undefined): void {
    if (paused === undefined || paused.flows === 0) return
    for (let n = 0; n < paused.flows; n++) this.#ctx.countPause('self_triggering')
    this.#ctx.signals.publish('events_stored', [tenantId])
    if (paused.due.length > 0) this.#ctx.signals.publish('deliveries_due', paused.due)
  }

  /** One tenant's trouble is not the others'. */
  async #matchOne(tenantId: string, now: Date | null): Promise<Matched> {
    let place: Place = 'feed'
    const enter = (entered: Place): void => void (place = entered)
    try {
      const result = await this.#ctx.db.transaction().execute((trx) => this.#match(trx, tenantId, now, enter))
      this.#passed.well++
      return result
    } catch (error) {
      if (isLockNotAvailable(error) || isSerialisationConflict(error)) {
        this.#behind.add(tenantId)
        return NOTHING
      }
      if (isProblem(error, flowNewer)) {
        this.#ctx.log.warn({ tenant_id: tenantId }, 'events left to a newer release: it published a flow')
        return NOTHING
      }
      this.#passed.failed++
      this.#ctx.log.error({ err: error, tenant_id: tenantId }, 'events not matched against flows')
      if (!isPassing(error)) this.#noteTrouble(place, tenantId, error)
      return NOTHING
    }
  }

  /** Notes a failure: one event must not keep the tenant's others from being matched. */
  #noteTrouble(place: Place, tenantId: string, error: unknown): void {
    const troubled = this.#troubled[place]
    const failures = (troubled.get(tenantId)?.failures ?? -1) + 1
    troubled.set(tenantId, { failures, reason: failureText(error, 'Matching it'), left: BATCH_EVENTS })
    // Time is given to what may pass; the first failure was that of a batch.
    if (failures === 0) this.#behind.add(tenantId)
  }

  /** An event alone was matched, or is set aside. */
  #noteProgress(place: Place, tenantId: string): void {
    const troubled = this.#troubled[place]
    const left = (troubled.get(tenantId)?.left ?? 0) - 1
    if (left > 0) troubled.set(tenantId, { failures: 0, reason: '', left })
    else troubled.delete(tenantId)
  }

  /** @param enter told from where on what fails is the trouble of another place */
  async #match(
    trx: Transaction<DB>,
    tenantId: string,
    testNow: Date | null,
    enter: (place: Place) => void,
  ): Promise<Matched> {
    const cursor = await lockCursor(trx, tenantId, 'move')
    if (cursor === undefined) return NOTHING
    if (cursor.hasCatchUp) {
      const caughtUp = await this.#catchUp(trx, tenantId, cursor, testNow ?? cursor.now, enter)
      if (caughtUp !== null) return caughtUp
      enter('feed')
    }
    // Asked before the scan: what comes into sight between the two is scanned, or else asked for again.
    const isBehind = await hasUnseen(trx, tenantId)
    const trouble = this.#troubled.feed.get(tenantId)
    const most = trouble === undefined ? BATCH_EVENTS : 1
    const { events: scanned } = await scanFeed(trx, tenantId, { after: cursor.at, limit: most })
    if (isBehind) this.#behind.add(tenantId)
    const [next] = scanned
    if (next === undefined) return NOTHING
    if (trouble !== undefined && trouble.failures >= FAILURES_MAX) {
      await moveCursor(trx, tenantId, next)
      await this.#setAside(trx, tenantId, next.id, trouble)
      this.#noteProgress('feed', tenantId)
      return { matched: 1, isFull: true, started: NONE_STARTED }
    }
    const { flows, byType } = await this.#active.get(trx, tenantId, cursor.flowsVersion)
    const shapes = await loadShapes(trx, tenantId, cancelShapes(flows))
    const isWanted = ({ event, size }: ScannedEvent): boolean =>
      size !== null && (byType.has(event) || shapes.has(event))
    const batch = withinBytes(scanned, isWanted)
    const ids = batch.filter(isWanted).map(({ id }) => id)
    const rows = await selectEvents(trx, tenantId, ids)
    const repeats = new Repeats(this.#seenStarts, cursor.repeats)
    const turn = new Turn(trx, this.#ctx, repeats, {
      tenantId,
      byType,
      zone: cursor.zone,
      isHalted: cursor.isHalted,
      shapes,
      waits: cursor.waits,
      now: testNow ?? cursor.now,
    })
    const { stop, started, paused } = await turn.take(rows)
    const stoppedAt = stop === null ? -1 : batch.findIndex(({ id }) => id === stop.eventId)
    const inWaits = stop?.waitsAfter ?? null
    const end = stoppedAt === -1 ? batch.length : inWaits === null ? stoppedAt + 1 : stoppedAt
    await moveCursor(
      trx,
      tenantId,
      batch[end - 1] ?? cursor.at,
      inWaits === null ? null : { event: batch[stoppedAt] as ScannedEvent, after: inWaits },
      repeats.changed,
    )
    if (trouble !== undefined && end > 0) this.#noteProgress('feed', tenantId)
    const isFull = stop !== null || batch.length === most || batch.length < scanned.length
    return { matched: end, isFull, started, paused }
  }

  async #setAside(
    trx: Transaction<DB>,
    tenantId: string,
    eventId: string,
    { reason }: Trouble,
  ): Promise<void> {
    await setAside(trx, tenantId, eventId, reason)
    const told = { tenant_id: tenantId, event_id: eventId, reason }
    this.#ctx.log.error(told, 'event set aside: no flow sees it until it is taken up again')
  }

  /** One event that was set aside, and that somebody wants matched; null: there is none. */
  async #takeUpSetAside(
    trx: Transaction<DB>,
    tenantId: string,
    cursor: FlowCursor,
    now: Date,
  ): Promise<Matched | null> {
    const wanted = await nextWanted(trx, tenantId)
    if (wanted === null) return null
    const { eventId, waitsAfter } = wanted
    const trouble = this.#troubled.set_aside.get(tenantId)
    if (trouble !== undefined && trouble.failures >= FAILURES_MAX) {
      await this.#setAside(trx, tenantId, eventId, trouble)
      this.#noteProgress('set_aside', tenantId)
      return { ...NOTHING, isFull: true }
    }
    const { flows, byType } = await this.#active.get(trx, tenantId, cursor.flowsVersion)
    const turn = new Turn(trx, this.#ctx, null, {
      tenantId,
      byType,
      zone: cursor.zone,
      isHalted: cursor.isHalted,
      shapes: await loadShapes(trx, tenantId, cancelShapes(flows)),
      waits: waitsAfter === null ? null : { event: { position: '', id: eventId }, after: waitsAfter },
      isLate: true,
      now,
    })
    // Whose body is gone by now starts nothing any more.
    const rows = (await selectEvents(trx, tenantId, [eventId])).filter(({ body }) => body !== null)
    const { stop, started, paused } = await turn.take(rows)
    await noteTakenUp(trx, tenantId, eventId, stop?.waitsAfter ?? null)
    if (trouble !== undefined) this.#noteProgress('set_aside', tenantId)
    return { matched: 1, isFull: true, started, paused }
  }

  /**
   * Starts what was missed, before anything newer starts. While the tenant has as many executions as it may, events are
   * matched all the same: by them some of those may end.
   * @returns null: what is left waits for that
   */
  async #catchUp(
    trx: Transaction<DB>,
    tenantId: string,
    cursor: FlowCursor,
    now: Date,
    enter: (place: Place) => void,
  ): Promise<Matched | null> {
    this.#held.delete(tenantId)
    enter('set_aside')
    const taken = await this.#takeUpSetAside(trx, tenantId, cursor, now)
    if (taken !== null) return taken
    enter('missed')
    const { flows } = await this.#active.get(trx, tenantId, cursor.flowsVersion)
    const trouble = this.#troubled.missed.get(tenantId)
    const giveUp = (trouble?.failures ?? 0) >= FAILURES_MAX
    const one = trouble !== undefined
    let cancelled = 0
    const onCancelled = (count: number): void => void (cancelled += count)
    const matching = { flows, cursor, now, onCancelled }
    const { caughtUp, queued, isHeld } = await takeUpMissed(trx, tenantId, matching, { one, giveUp })
    if (isHeld && caughtUp === 0) {
      this.#held.add(tenantId)
      return null
    }
    if (caughtUp === 0) await endCatchUp(trx, tenantId)
    else if (one) this.#noteProgress('missed', tenantId)
    const started = { ...NONE_STARTED, cancelled }
    // The pass that finds no more of them says so, and the next one matches events again.
    return { matched: 0, isFull: true, started, caughtUp, caughtUpByKind: queued }
  }
}

/** The first of them whose wanted bodies fit into memory together. */
function withinBytes(
  scanned: readonly ScannedEvent[],
  isWanted: (event: ScannedEvent) => boolean,
): readonly ScannedEvent[] {
  let bytes = 0
  const end = scanned.findIndex((event, index) => {
    if (isWanted(event)) bytes += event.size ?? 0
    return index > 0 && bytes > BATCH_BYTES
  })
  return end === -1 ? scanned : scanned.slice(0, end)
}
