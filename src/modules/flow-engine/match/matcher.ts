import type { FastifyBaseLogger } from 'fastify'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { isSerialisationConflict } from '#db/errors.ts'
import type { Signals } from '#infra/signals.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import type { EventScope } from '#lib/flow/scope.ts'
import { uuidTime } from '#lib/ids.ts'
import { isProblem } from '#lib/api/problem.ts'
import { isLockNotAvailable, isPassing } from '#db/errors.ts'
import {
  type EventRow,
  type EventService,
  scanFeed,
  type ScannedEvent,
  selectEvents,
} from '#modules/event/index.ts'
import { decideFairly, type Verdict } from '#lib/async/fair-budget.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { StepBudget } from '#lib/step-budget.ts'
import { type ActiveFlow, ActiveFlows, cancelShapes, isTriggered } from './active-flows.ts'
import { endCatchUp, takeUpMissed } from './catch-up.ts'
import { type FlowCursor, lockCursor, moveCursor } from './cursor.ts'
import { enrolmentKey } from '../start/enrolment.ts'
import { flowNewer } from '../errors.ts'
import { countStarts, type FlowMetrics } from '../metrics.ts'
import { StepError } from '../run/evaluate.ts'
import {
  CAP_WINDOW_MS,
  countRecentStarts,
  countTriggered,
  pauseIfSelfTriggering,
  pauseRepeating,
} from '../start/rate-cap.ts'
import { type PauseReason, tellOfPause } from '../run/flow-pause.ts'
import type { ProgramCache } from '../run/program.ts'
import { receive } from './receive.ts'
import { Repeats } from '../start/repeats.ts'
import { isSimpleStart, startExecution, startScope, startSimple, type StartRequest } from '../start/starts.ts'
import { toEventScope } from '../wait/waits.ts'

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
/**
 * What a turn of a tenant may cost, some 50 ms beside the database's part: then it ends with the event that it is at,
 * and the other tenants have theirs.
 */
const TURN_STEPS = 500_000
/** What the filters of an event's triggers may cost together: flows that need more are skipped, with that reason. */
const EVENT_STEPS = 150_000
/** Characters of a body that are read for one step. */
const CHARS_PER_STEP = 16
/** Bodies of a batch together, unless the first alone is larger: what a matcher has in memory. */
const BATCH_BYTES = 16 * 1024 * 1024
/** Tenants that one look at all cursors finds. */
const LOOK_TENANTS = 100

/** How often an event alone is tried. */
const FAILURES_MAX = 3

interface Trouble {
  /** Of the event that is next, by itself. */
  failures: number
  /** Events that still go alone. */
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
  /** To be told once it is committed: flows that were paused, and plugins that have a delivery by it. */
  paused?: Paused
}

/** What came of a batch, counted once it is committed. */
interface Started {
  queued: number
  skipped: number
  cancelled: number
}

interface Applied {
  /** Where the turn was over; null: it was not. */
  stop: TurnEnd | null
  started: Started
  paused: Paused
}

/** Flows that were paused, and plugins that have a delivery by it. */
interface Paused {
  flows: number
  due: string[]
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
  readonly #repeats = new Repeats()
  #behind = new Set<string>()
  #matched = 0
  /** Of the last pass: tenants whose transaction ended well, and that failed. */
  #passed = { well: 0, failed: 0 }
  /** Tenants whose batches failed: they are gone through event by event until that is over. */
  readonly #troubled = new Map<string, Trouble>()

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

  /** Whether all that the last pass tried failed. */
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
    const tenants = tenantIds.length > 0 ? tenantIds : await findBehind(this.#ctx.db)
    this.#behind = new Set()
    this.#passed = { well: 0, failed: 0 }
    let hasMore = false
    for (const tenantId of tenants) {
      const { matched, isFull, started, caughtUp = 0, paused } = await this.#matchOne(tenantId, now)
      onProgress()
      if (matched + caughtUp === 0 && !isFull) continue
      this.#count(matched, started)
      this.#tell(tenantId, paused)
      this.#matched += matched
      this.#ctx.signals.publish('executions_due', [tenantId])
      if (isFull) this.#behind.add(tenantId)
      if (isFull || tenants.length === LOOK_TENANTS) hasMore = true
    }
    return hasMore ? 'more' : 'idle'
  }

  #count(matched: number, { queued, skipped, cancelled }: Started): void {
    const { metrics } = this.#ctx
    metrics.eventsMatched.inc(matched)
    countStarts(metrics, 'event', { queued, skipped })
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
    try {
      const result = await this.#ctx.db.transaction().execute((trx) => this.#match(trx, tenantId, now))
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
      if (!isPassing(error)) this.#noteTrouble(tenantId)
      return NOTHING
    }
  }

  /** What fails by one event must not keep the tenant's others from being matched. */
  #noteTrouble(tenantId: string): void {
    const failures = (this.#troubled.get(tenantId)?.failures ?? -1) + 1
    this.#troubled.set(tenantId, { failures, left: BATCH_EVENTS })
    // Time is given to what may pass; the first failure was that of a batch.
    if (failures === 0) this.#behind.add(tenantId)
  }

  /** An event alone was matched, or is passed over. */
  #noteProgress(tenantId: string): void {
    const left = (this.#troubled.get(tenantId)?.left ?? 0) - 1
    if (left > 0) this.#troubled.set(tenantId, { failures: 0, left })
    else this.#troubled.delete(tenantId)
  }

  async #match(trx: Transaction<DB>, tenantId: string, testNow: Date | null): Promise<Matched> {
    const cursor = await lockCursor(trx, tenantId, 'move')
    if (cursor === undefined) return NOTHING
    // Asked before the scan: what comes into sight between the two is scanned, or else asked for again.
    if (cursor.hasCatchUp) return this.#catchUp(trx, tenantId, cursor, testNow ?? cursor.now)
    const isBehind = await hasUnseen(trx, tenantId)
    const trouble = this.#troubled.get(tenantId)
    const most = trouble === undefined ? BATCH_EVENTS : 1
    const { events: scanned } = await scanFeed(trx, tenantId, { after: cursor.at, limit: most })
    if (isBehind) this.#behind.add(tenantId)
    const [next] = scanned
    if (next === undefined) return NOTHING
    if (trouble !== undefined && trouble.failures >= FAILURES_MAX) {
      await moveCursor(trx, tenantId, next)
      this.#ctx.log.error(
        { tenant_id: tenantId, event_id: next.id },
        'event passed over: no flow will see it',
      )
      this.#noteProgress(tenantId)
      return { matched: 1, isFull: true, started: NONE_STARTED }
    }
    const { flows, byType } = await this.#active.get(trx, tenantId, cursor.flowsVersion)
    const shapes = await loadShapes(trx, tenantId, cancelShapes(flows))
    const isWanted = ({ event, size }: ScannedEvent): boolean =>
      size !== null && (byType.has(event) || shapes.has(event))
    const batch = withinBytes(scanned, isWanted)
    const ids = batch.filter(isWanted).map(({ id }) => id)
    const rows = await selectEvents(trx, tenantId, ids)
    const { stop, started, paused } = await this.#apply(trx, {
      tenantId,
      byType,
      isHalted: cursor.isHalted,
      shapes,
      rows,
      waits: cursor.waits,
      now: testNow ?? cursor.now,
    })
    const stoppedAt = stop === null ? -1 : batch.findIndex(({ id }) => id === stop.eventId)
    const inWaits = stop?.waitsAfter ?? null
    const end = stoppedAt === -1 ? batch.length : inWaits === null ? stoppedAt + 1 : stoppedAt
    await moveCursor(
      trx,
      tenantId,
      batch[end - 1] ?? cursor.at,
      inWaits === null ? null : { event: batch[stoppedAt] as ScannedEvent, after: inWaits },
    )
    if (trouble !== undefined && end > 0) this.#noteProgress(tenantId)
    const isFull = stop !== null || batch.length === most || batch.length < scanned.length
    return { matched: end, isFull, started, paused }
  }

  /** What was missed starts before anything newer does. */
  async #catchUp(trx: Transaction<DB>, tenantId: string, cursor: FlowCursor, now: Date): Promise<Matched> {
    const { flows } = await this.#active.get(trx, tenantId, cursor.flowsVersion)
    const trouble = this.#troubled.get(tenantId)
    const giveUp = (trouble?.failures ?? 0) >= FAILURES_MAX
    const one = trouble !== undefined
    let cancelled = 0
    const onCancelled = (count: number): void => void (cancelled += count)
    const matching = { flows, cursor, now, onCancelled }
    const { caughtUp, queued } = await takeUpMissed(trx, tenantId, matching, { one, giveUp })
    if (caughtUp === 0) await endCatchUp(trx, tenantId)
    else if (one) this.#noteProgress(tenantId)
    const started = { queued, skipped: 0, cancelled }
    // The pass that finds no more of them says so, and the next one matches events again.
    return { matched: 0, isFull: true, started, caughtUp }
  }

  async #apply(trx: Transaction<DB>, turn: Turn): Promise<Applied> {
    let [skipped, cancelled] = [0, 0]
    const onCancelled = (count: number): void => void (cancelled += count)
    const paused: Paused = { flows: 0, due: [] }
    const { tenantId, byType, isHalted, shapes, rows, now } = turn
    const budget = new StepBudget(TURN_STEPS)
    const tell = async (flowId: string): Promise<void> => {
      paused.flows++
      const pause = { tenantId, flowId, reason: 'self_triggering' as const }
      paused.due.push(...(await tellOfPause(trx, this.#ctx.events, pause)))
    }
    // One for each pass: what comes many at a time does not come of what was started one by one.
    const noted = new Set<string>()
    const repeating = new Set<string>()
    const recent = new Map<string, { minute: number; count: number }>()
    const started = new Map<string, number>()
    let simple: StartRequest[] = []
    const flush = async (): Promise<void> => {
      const done = await startSimple(trx, simple)
      for (const flowId of done.started) started.set(flowId, (started.get(flowId) ?? 0) + 1)
      skipped += done.skipped
      simple = []
    }
    const counted = (): Started => {
      const queued = started.values().reduce((sum, count) => sum + count, 0)
      return { queued, skipped, cancelled }
    }
    const end = async (stop: TurnEnd | null): Promise<Applied> => {
      await flush()
      for (const id of repeating) if (await pauseRepeating(trx, tenantId, id)) await tell(id)
      await countTriggered(trx, tenantId, started, now)
      return { stop, started: counted(), paused }
    }
    for (const [index, row] of rows.entries()) {
      await loopShare.turn(tenantId)
      const event = toEventScope(row)
      budget.take(Math.ceil((row.body?.length ?? 0) / CHARS_PER_STEP))
      const cameAt = uuidTime(row.id)
      const minute = Math.floor(cameAt.getTime() / CAP_WINDOW_MS)
      const paths = shapes.get(event.type)
      if (paths !== undefined) {
        const after = turn.waits?.event.id === row.id ? turn.waits.after : null
        const stop = await receive(trx, { tenantId, event, paths, now, budget, after, onCancelled })
        if (stop !== null) return end({ eventId: row.id, waitsAfter: stop })
      }
      const filters = new StepBudget(EVENT_STEPS)
      const candidates = byType.get(event.type) ?? []
      const isOn = ({ off }: ActiveFlow): boolean => off === null
      const mismatched = new Map<ActiveFlow, string>()
      const decide = (flow: ActiveFlow, share: StepBudget): Verdict => {
        const verdict = isTriggered(flow, event, tenantId, now, share)
        if (typeof verdict !== 'string') return verdict
        if (flow.off === null && !isHalted) mismatched.set(flow, verdict)
        return false
      }
      // Those that are off have what is left over.
      const decided = [candidates.filter(isOn), candidates.filter((flow) => !isOn(flow))].map((flows) =>
        decideFairly(flows, filters, decide),
      )
      budget.take(filters.spent)
      const undecided = new Set(decided.flatMap((each) => each.undecided))
      const refusalOf = (flow: ActiveFlow): StartRequest['refused'] => {
        const message = mismatched.get(flow)
        if (message !== undefined) return { reason: 'filter_mismatch', message }
        return undecided.has(flow) ? 'filter_budget' : null
      }
      const mayStart = decided.flatMap(({ yes }) => yes)
      for (const flow of [...mayStart, ...undecided, ...mismatched.keys()]) {
        const missed = flow.off ?? (isHalted ? 'halted' : null)
        const refusal = refusalOf(flow)
        if (flow.mayCause && missed === null && refusal === null && !noted.has(flow.id)) {
          noted.add(flow.id)
          const { program, id } = flow
          if (this.#repeats.note(id, event, keyOf(flow, event, tenantId, now), cameAt.getTime())) {
            repeating.add(id)
            this.#ctx.log.warn(
              { tenant_id: tenantId, flow: program.flowName },
              'a flow starts again and again',
            )
          }
        }
        const most = this.#ctx.maxStartsPerMinute
        const known = recent.get(flow.id)
        // What waits in memory is counted only once it is written.
        if (known !== undefined && known.minute !== minute) await flush()
        const count =
          missed !== null
            ? 0
            : known?.minute === minute
              ? known.count
              : await countRecentStarts(trx, tenantId, flow.id, most, cameAt)
        const request: StartRequest = {
          tenantId,
          flowId: flow.id,
          version: flow.version,
          program: flow.program,
          kind: 'event',
          data: event.data,
          event,
          causationDepth: row.causation_depth,
          refused: refusal ?? missed ?? (count >= most ? 'rate_cap' : null),
          now,
          onCancelled,
        }
        if (isSimpleStart(request)) {
          if (missed === null) recent.set(flow.id, { minute, count: count + 1 })
          simple.push(request)
          continue
        }
        const result = await startExecution(trx, request)
        recent.set(flow.id, { minute, count: count + (result.status === 'queued' ? 1 : 0) })
        if (result.status === 'queued') started.set(flow.id, (started.get(flow.id) ?? 0) + 1)
        if (result.status === 'skipped') skipped++
        if (result.reason === 'causation_depth') {
          await flush()
          if (await pauseIfSelfTriggering(trx, tenantId, flow.id, event.id)) await tell(flow.id)
        }
      }
      if (budget.left === 0 && index < rows.length - 1) return end({ eventId: row.id, waitsAfter: null })
    }
    return end(null)
  }
}

/** By what starts belong together, if the flow says so and it comes out. */
function keyOf(flow: ActiveFlow, event: EventScope, tenantId: string, now: Date): string | null {
  const { id: flowId, version, program } = flow
  if (program.flow.settings.enrolment.key === null) return null
  try {
    const scope = startScope({ tenantId, flowId, version, program, data: event.data, event, now }, '')
    return enrolmentKey(program, scope, now)
  } catch (error) {
    if (error instanceof StepError) return null
    throw error
  }
}

/** What a tenant's turn goes through. */
interface Turn {
  tenantId: string
  byType: ReadonlyMap<string, readonly ActiveFlow[]>
  isHalted: boolean
  shapes: ReadonlyMap<string, readonly string[]>
  rows: readonly EventRow[]
  /** Where the turn before ended among an event's waits. */
  waits: FlowCursor['waits']
  now: Date
}

interface TurnEnd {
  eventId: string
  /** The execution up to which the event's waits were gone through; null: the event is done. */
  waitsAfter: string | null
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

/** Tenants whose feed has gone on: one probe of the feed's index for each tenant with flows. */
async function findBehind(db: Kysely<DB>): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    with horizon as materialized (select feed_writer_horizon() as position)
    select tenant_id from flow_cursors c, horizon
    where c.catch_up or exists (
      select from events e where e.tenant_id = c.tenant_id and (e.position, e.id) > (c.position, c.event_id)
        and e.position < horizon.position
    )
    limit ${sql.lit(LOOK_TENANTS)}`.execute(db)
  return rows.map((row) => row.tenant_id)
}

/** Whether there are events that stand beyond the horizon, behind a writer that has not ended. */
async function hasUnseen(trx: Transaction<DB>, tenantId: string): Promise<boolean> {
  const { rows } = await sql<{ unseen: boolean }>`
    with horizon as materialized (select feed_writer_horizon() as position)
    select exists (
      select from events where tenant_id = ${tenantId} and position >= (select position from horizon)
    ) as unseen`.execute(trx)
  return rows[0]?.unseen === true
}

async function loadShapes(
  trx: Transaction<DB>,
  tenantId: string,
  more: readonly { event: string; paths: string }[],
): Promise<Map<string, string[]>> {
  const rows = await trx
    .selectFrom('automation_wait_shapes')
    .select(['event', 'paths'])
    .where('tenant_id', '=', tenantId)
    .execute()
  const shapes = new Map<string, Set<string>>()
  for (const { event, paths } of [...rows, ...more]) {
    const lists = shapes.get(event)
    if (lists === undefined) shapes.set(event, new Set([paths]))
    else lists.add(paths)
  }
  return new Map([...shapes].map(([event, lists]) => [event, [...lists]]))
}
