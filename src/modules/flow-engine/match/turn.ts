import type { FastifyBaseLogger } from 'fastify'
import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { decideFairly, type Verdict } from '#lib/async/fair-budget.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import type { EventScope } from '#lib/flow/scope.ts'
import { lowestIdAt } from '#lib/id-range.ts'
import { uuidTime } from '#lib/ids.ts'
import { StepBudget } from '#lib/step-budget.ts'
import { type EventRow, type EventService, loadSegments, type Segments } from '#modules/event/index.ts'
import { StepError } from '../run/evaluate.ts'
import { tellOfPause } from '../run/flow-pause.ts'
import { enrolmentKey } from '../start/enrolment.ts'
import { CAP_WINDOW_MS, countRecentStarts } from '../start/enqueue-repository.ts'
import { countTriggered, pauseIfSelfTriggering, pauseRepeating } from '../run/flow-repository.ts'
import { type Repeats, repeatName } from '../start/repeats.ts'
import { WAITING_EXECUTIONS, waitingQuota } from '../start/waiting-quota.ts'
import {
  isSimpleStart,
  startExecution,
  startScope,
  startSimple,
  type StartRequest,
} from '../start/enqueue.ts'
import { toEventScope } from '../wait/waits.ts'
import { type ActiveFlow, isTriggered, type Triggered } from './active-flows.ts'
import type { FlowCursor } from './cursor-repository.ts'
import { receive } from '../wait/meet-event.ts'

/**
 * The most that a turn of a tenant may cost, some 50 ms beside the database's part: then it ends with the event that it is at,
 * and the other tenants have theirs.
 */
const TURN_STEPS = 500_000
/** The most that the filters of an event's triggers may cost together: flows that need more are skipped, with that reason. */
const EVENT_STEPS = 150_000
/** Characters of a body that are read for one step. */
const CHARS_PER_STEP = 16
/** Counts of what a batch has started and ended, told once it is committed. */
export interface Started {
  queued: number
  skipped: number
  cancelled: number
}

export interface Applied {
  /** The place at which the turn was over; null: it was not. */
  stop: TurnEnd | null
  started: Started
  paused: Paused
}

/** Flows that were paused, and plugins that have a delivery by it. */
export interface Paused {
  flows: number
  due: string[]
}

export interface TurnContext {
  events: Pick<EventService, 'emitIn'>
  log: FastifyBaseLogger
  /** Executions that one flow may start in a minute. */
  maxStartsPerMinute: number
}

/** By what a tenant's events are matched. */
export interface Matching {
  tenantId: string
  byType: ReadonlyMap<string, Triggered>
  isHalted: boolean
  /** Time zone of the tenant. */
  zone: string
  /** Path lists, by event type, by which waiting executions look for their events. */
  shapes: ReadonlyMap<string, readonly string[]>
  /** The end of the turn before among an event's waits. */
  waits: FlowCursor['waits']
  /** The events are taken up: newer ones have been matched before them. */
  isLate?: boolean
  now: Date
}

export interface TurnEnd {
  eventId: string
  /** The execution up to which the event's waits were gone through; null: the event is done. */
  waitsAfter: string | null
}

/** The flow's start for one thing. */
interface Repeat {
  name: string
  cameAtMs: number
}

/** The flows of one event about which the rest of the turn decides. */
interface Coming {
  row: EventRow
  event: EventScope
  cameAt: Date
  minute: number
}

/**
 * A tenant's turn: what a batch of its events wakes, cancels and starts, in the matcher's transaction, until the batch
 * or the turn's budget is used up.
 */
export class Turn {
  readonly #trx: Transaction<DB>
  readonly #ctx: TurnContext
  readonly #repeats: Repeats | null
  readonly #by: Matching
  readonly #budget = new StepBudget(TURN_STEPS)
  readonly #paused: Paused = { flows: 0, due: [] }
  readonly #onCancelled = (count: number): void => void (this.#cancelled += count)
  #cancelled = 0
  #skipped = 0
  /** Executions started, by flow. */
  readonly #started = new Map<string, number>()
  /** Starts of the events' minutes, by flow. */
  readonly #recent = new Map<string, { minute: number; count: number }>()
  /** Starts that are written together. */
  #simple: StartRequest[] = []
  /** Each flow is noted once a turn: what comes many at a time does not come of what was started one by one. */
  readonly #noted = new Set<string>()
  /** Of starts that are written together, by flow. */
  readonly #toNote = new Map<string, Repeat>()
  readonly #repeating = new Set<string>()
  /** Read for the first event of a plugin's that concerns a flow. */
  #segments: Promise<Segments> | null = null

  /** @param repeats null: the events are taken up late, and tell nothing of what causes them */
  constructor(trx: Transaction<DB>, ctx: TurnContext, repeats: Repeats | null, by: Matching) {
    this.#trx = trx
    this.#ctx = ctx
    this.#repeats = repeats
    this.#by = by
  }

  /** Goes through events in their order. */
  async take(rows: readonly EventRow[]): Promise<Applied> {
    for (const [index, row] of rows.entries()) {
      await loopShare.turn(this.#by.tenantId)
      this.#budget.take(Math.ceil((row.body?.length ?? 0) / CHARS_PER_STEP))
      const waitsAfter = await this.#takeOne(row)
      if (waitsAfter !== null) return this.#end({ eventId: row.id, waitsAfter })
      if (this.#budget.left === 0 && index < rows.length - 1) {
        return this.#end({ eventId: row.id, waitsAfter: null })
      }
    }
    return this.#end(null)
  }

  /** @returns the execution up to which its waits were gone through, if the budget was used up among them */
  async #takeOne(row: EventRow): Promise<string | null> {
    const { tenantId, byType, shapes, waits, now } = this.#by
    const event = toEventScope(row)
    const paths = shapes.get(event.type)
    if (paths !== undefined) {
      const after = waits?.event.id === row.id ? waits.after : null
      const given = {
        tenantId,
        event,
        paths,
        now,
        budget: this.#budget,
        after,
        // What began after it came does not wait for it.
        before: this.#by.isLate === true ? lowestIdAt(uuidTime(row.id).getTime() + 1) : null,
        onCancelled: this.#onCancelled,
      }
      const stop = await receive(this.#trx, given)
      if (stop !== null) return stop
    }
    const candidates = byType.get(event.type)
    if (candidates === undefined) return null
    const cameAt = uuidTime(row.id)
    const coming = { row, event, cameAt, minute: Math.floor(cameAt.getTime() / CAP_WINDOW_MS) }
    const isOwn = await this.#isOwn(event)
    for (const [flow, refusal] of this.#decide({ event, isOwn }, candidates))
      await this.#start(coming, flow, refusal)
    return null
  }

  /** Tells whether the event's publisher is the one from whom events of its type come. */
  async #isOwn({ type, source }: EventScope): Promise<boolean> {
    if (source === 'platform') return true
    this.#segments ??= loadSegments(this.#trx, this.#by.tenantId)
    return (await this.#segments).isSpokenBy(type, source)
  }

  /** The flows that the event concerns, with the reason why it does not start them; null: its triggers let it. */
  #decide(
    coming: { event: EventScope; isOwn: boolean },
    { on, off }: Triggered,
  ): Map<ActiveFlow, StartRequest['refused']> {
    const { isHalted } = this.#by
    const budget = new StepBudget(EVENT_STEPS)
    const mismatched = new Map<ActiveFlow, StartRequest['refused']>()
    const decide = (flow: ActiveFlow, share: StepBudget): Verdict => {
      const verdict = isTriggered(flow, coming, this.#by, share)
      if (typeof verdict !== 'string') return verdict
      if (flow.off === null && !isHalted) {
        mismatched.set(flow, { reason: 'filter_mismatch', message: verdict })
      }
      return false
    }
    const decided = new Map<ActiveFlow, StartRequest['refused']>()
    const undecided: ActiveFlow[] = []
    // Those that are off have what is left over.
    for (const flows of [on, off]) {
      if (flows.length === 0) continue
      const found = decideFairly(flows, budget, decide)
      for (const flow of found.yes) decided.set(flow, null)
      undecided.push(...found.undecided)
    }
    for (const flow of undecided) decided.set(flow, 'filter_budget')
    for (const [flow, refusal] of mismatched) decided.set(flow, refusal)
    this.#budget.take(budget.spent)
    return decided
  }

  async #start(coming: Coming, flow: ActiveFlow, refusal: StartRequest['refused']): Promise<void> {
    const { tenantId, isHalted, isLate = false, zone, now } = this.#by
    const { row, event, minute } = coming
    const missed = flow.off ?? (isHalted ? 'halted' : null)
    const repeat = missed === null && refusal === null ? this.#repeatOf(coming, flow) : null
    const waitMs = repeat === null ? 0 : this.#meetRepeat(repeat, flow)
    // What is missed counts towards no rate.
    const count = missed === null ? await this.#countRecent(coming, flow.id) : 0
    const isOverRate = count >= this.#ctx.maxStartsPerMinute
    const stopped = refusal ?? missed ?? (isOverRate ? 'rate_cap' : null)
    const isFull = stopped === null && (await waitingQuota.isUsedUp(this.#trx, tenantId))
    const request: StartRequest = {
      tenantId,
      flowId: flow.id,
      version: flow.version,
      program: flow.program,
      kind: 'event',
      data: event.data,
      event,
      zone,
      causationDepth: row.causation_depth,
      refused: stopped ?? (isFull ? WAITING_EXECUTIONS : null),
      isLate,
      ...(waitMs > 0 && { dueAt: new Date(now.getTime() + waitMs) }),
      now,
      onCancelled: this.#onCancelled,
    }
    if (isSimpleStart(request)) {
      if (missed === null) this.#recent.set(flow.id, { minute, count: count + 1 })
      if (repeat !== null && !this.#toNote.has(flow.id)) this.#toNote.set(flow.id, repeat)
      this.#simple.push(request)
      return
    }
    const { status, reason } = await startExecution(this.#trx, request)
    const isQueued = status === 'queued'
    if (missed === null) this.#recent.set(flow.id, { minute, count: count + (isQueued ? 1 : 0) })
    if (isQueued) this.#countStart(flow.id)
    if (isQueued && repeat !== null) this.#noteRepeat(flow.id, repeat)
    if (status === 'skipped') this.#skipped++
    if (reason !== 'causation_depth') return
    await this.#flush()
    if (await pauseIfSelfTriggering(this.#trx, tenantId, flow.id, event.id)) await this.#tell(flow.id)
  }

  /** Starts of the flow in the minute in which the event came. */
  async #countRecent({ cameAt, minute }: Coming, flowId: string): Promise<number> {
    const known = this.#recent.get(flowId)
    if (known?.minute === minute) return known.count
    // What waits in memory is counted only once it is written.
    if (known !== undefined) await this.#flush()
    const most = this.#ctx.maxStartsPerMinute
    const { tenantId, isLate = false } = this.#by
    return countRecentStarts(this.#trx, { tenantId, flowId }, most, cameAt, isLate)
  }

  /** By what it is told whether the flow starts again and again for the same thing; null: that is not looked at. */
  #repeatOf({ event, cameAt }: Coming, flow: ActiveFlow): Repeat | null {
    if (this.#repeats === null || !flow.mayCause) return null
    if (this.#noted.has(flow.id) && !this.#repeats.hasSuspects) return null
    const name = repeatName(flow, event, keyOf(flow, event, this.#by))
    return name === null ? null : { name, cameAtMs: cameAt.getTime() }
  }

  /** @returns how long the start waits */
  #meetRepeat({ name, cameAtMs }: Repeat, { id, program }: ActiveFlow): number {
    const { waitMs, isOwnCause } = this.#repeats?.meet(name, cameAtMs) ?? { waitMs: 0, isOwnCause: false }
    if (isOwnCause) {
      this.#repeating.add(id)
      const told = { tenant_id: this.#by.tenantId, flow_id: id, flow: program.flowName }
      this.#ctx.log.warn(told, 'a flow triggers itself')
    }
    return waitMs
  }

  #noteRepeat(flowId: string, { name, cameAtMs }: Repeat): void {
    if (this.#noted.has(flowId)) return
    this.#noted.add(flowId)
    this.#repeats?.start(name, cameAtMs)
  }

  async #flush(): Promise<void> {
    const { started, skipped } = await startSimple(this.#trx, this.#simple)
    for (const flowId of started) {
      this.#countStart(flowId)
      const repeat = this.#toNote.get(flowId)
      if (repeat !== undefined) this.#noteRepeat(flowId, repeat)
    }
    this.#toNote.clear()
    this.#skipped += skipped
    this.#simple = []
  }

  #countStart(flowId: string): void {
    this.#started.set(flowId, (this.#started.get(flowId) ?? 0) + 1)
  }

  async #tell(flowId: string): Promise<void> {
    this.#paused.flows++
    const pause = { tenantId: this.#by.tenantId, flowId, reason: 'self_triggering' as const }
    this.#paused.due.push(...(await tellOfPause(this.#trx, this.#ctx.events, pause)))
  }

  async #end(stop: TurnEnd | null): Promise<Applied> {
    const { tenantId, now } = this.#by
    await this.#flush()
    for (const id of this.#repeating) if (await pauseRepeating(this.#trx, tenantId, id)) await this.#tell(id)
    await countTriggered(this.#trx, tenantId, this.#started, now)
    const queued = this.#started.values().reduce((sum, count) => sum + count, 0)
    return {
      stop,
      started: { queued, skipped: this.#skipped, cancelled: this.#cancelled },
      paused: this.#paused,
    }
  }
}

/** By what starts belong together, if the flow says so and it comes out. */
function keyOf(flow: ActiveFlow, event: EventScope, by: Matching): string | null {
  const { id: flowId, version, program } = flow
  const { tenantId, zone, now } = by
  if (program.flow.settings.enrolment.key === null) return null
  try {
    const scope = startScope({ tenantId, flowId, version, program, data: event.data, event, zone, now }, '')
    return enrolmentKey(program, scope, now)
  } catch (error) {
    if (error instanceof StepError) return null
    throw error
  }
}
