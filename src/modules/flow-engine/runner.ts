import type { FastifyBaseLogger } from 'fastify'
import type { CanonicalStep, ForEachStep, StepId } from '../../lib/flow/types.ts'
import { callOf, type CallContext, type CallResult, completedAction } from './calls.ts'
import { render, StepError } from './evaluate.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import { Ended, type Journal, type RunEnd } from './journal.ts'
import type { Program } from './program.ts'
import { retryPauseMs } from './retry.ts'
import { isPure, type PureStep, runPure, targetOf } from './run-step.ts'
import type { ScopeBuilder } from './scope.ts'
import {
  endItem,
  enterLoop,
  type ExecutionState,
  moveTo,
  nextDueAt,
  suspend,
  type Thread,
  threadsOf,
} from './state.ts'
import type { ReceivedEvent, Waits } from './waits.ts'

export interface RunnerContext extends CallContext {
  waits: Waits
  log: FastifyBaseLogger
}

export interface RunOptions {
  ctx: RunnerContext
  claim: ClaimedExecution
  program: Program
  journal: Journal
  scope: ScopeBuilder
  /** Events that have come for its waits, by iteration. */
  received: Map<string, ReceivedEvent>
  /** Epoch milliseconds of the database's clock, whole. */
  clock: () => number
  /** The engine stops: what is in hand is given back at the next boundary. */
  isStopping: () => boolean
}

/** An accepted action is looked after at first, and then after a tenth of the time that it has taken so far. */
const COMPLETION_LOOK_MS = 2_000
const COMPLETION_LOOK_MAX_MS = 60_000
/** A call that somebody else still has under way is asked about again. */
const BUSY_LOOK_MS = 5_000

type CallStep = Extract<CanonicalStep, { type: 'action' | 'http' }>
type WaitStep = Extract<CanonicalStep, { type: 'wait_event' }>

/**
 * Runs one claimed execution until it ends or has to wait. Steps that ask nobody ride along with the next boundary;
 * before every call and after it there is one, so that only the call under way when the process dies may repeat.
 *
 * A loop's items are lines of their own. Whatever ends the execution lets the calls of other lines come back first:
 * what was done stands in the log.
 */
export class Run {
  readonly #ctx: RunnerContext
  readonly #claim: ClaimedExecution
  readonly #program: Program
  readonly #journal: Journal
  readonly #state: ExecutionState
  readonly #scope: ScopeBuilder
  readonly #received: Map<string, ReceivedEvent>
  readonly #clock: () => number
  readonly #isStopping: () => boolean
  readonly #active = new Map<Thread, Promise<void>>()
  #ending: Omit<RunEnd, 'ours'> | null = null

  constructor(options: RunOptions) {
    this.#ctx = options.ctx
    this.#claim = options.claim
    this.#program = options.program
    this.#journal = options.journal
    this.#state = options.claim.state
    this.#scope = options.scope
    this.#received = options.received
    this.#clock = options.clock
    this.#isStopping = options.isStopping
  }

  async run(): Promise<RunEnd> {
    try {
      for (;;) {
        if (this.#clock() >= this.#claim.expires_at_ms) this.#endWith('timed_out', 'lifetime')
        for (const thread of this.#goingOn()) this.#active.set(thread, this.#take(thread))
        if (this.#active.size === 0) return await this.#settle()
        await Promise.race(this.#active.values())
      }
    } catch (error) {
      await Promise.allSettled(this.#active.values())
      if (error instanceof Ended && this.#journal.end !== null) return this.#journal.end
      throw error
    }
  }

  #goingOn(): Thread[] {
    if (this.#ending !== null || this.#mustYield()) return []
    return threadsOf(this.#state).filter((thread) => !this.#active.has(thread) && this.#isReady(thread))
  }

  #mustYield(): boolean {
    return this.#isStopping() || this.#journal.isHalted
  }

  #isReady(thread: Thread): boolean {
    if (thread.waiting === null) return true
    if (thread.waiting === 'event' && this.#received.has(thread.iteration)) return true
    return thread.due_at !== null && thread.due_at <= this.#clock()
  }

  /** Nothing is under way: the execution ends, waits, or is given back. */
  async #settle(): Promise<RunEnd> {
    if (this.#ending !== null) return this.#journal.close(this.#ending)
    const threads = threadsOf(this.#state)
    if (threads.some((thread) => this.#isReady(thread))) {
      return this.#journal.close({ status: 'queued', reason: this.#journal.isHalted ? 'halted' : null })
    }
    const first = threads.find(({ waiting }) => waiting !== null && waiting !== 'loop')
    const dueAtMs = Math.min(nextDueAt(this.#state) ?? Infinity, this.#claim.expires_at_ms)
    return this.#journal.close({ status: 'waiting', reason: first?.waiting ?? 'event', dueAtMs })
  }

  async #take(thread: Thread): Promise<void> {
    try {
      await this.#advance(thread)
    } finally {
      this.#active.delete(thread)
    }
  }

  /** Takes one line as far as it goes: to a wait, to the end of it, or to the end of the execution. */
  async #advance(thread: Thread): Promise<void> {
    while (this.#isReady(thread) && this.#isCurrent(thread) && !this.#mustYield()) {
      if (thread.step === 'end') {
        this.#arrive(thread)
        continue
      }
      const stepId = thread.step
      const step = this.#program.step(stepId)
      try {
        await this.#do(thread, stepId, step)
      } catch (error) {
        if (!(error instanceof StepError)) throw error
        await this.#fail(thread, stepId, step, { code: error.code, message: error.message })
      }
    }
  }

  async #do(thread: Thread, stepId: StepId, step: CanonicalStep): Promise<void> {
    if (isPure(step)) {
      this.#doPure(thread, stepId, step)
      return
    }
    switch (step.type) {
      case 'action':
      case 'http':
        return this.#doCall(thread, stepId, step)
      case 'wait_event':
        return this.#doWait(thread, stepId, step)
      case 'for_each':
        this.#doLoop(thread, stepId, step)
    }
  }

  #doPure(thread: Thread, stepId: StepId, step: PureStep): void {
    if (thread.waiting === 'delay') {
      const output = { waited_until: new Date(thread.due_at ?? this.#clock()).toISOString() }
      this.#leave(thread, stepId, step, { port: 'next', output })
      return
    }
    const now = new Date(this.#clock())
    const result = runPure(this.#program, step, this.#scope.of(thread, this.#state), now)
    switch (result.kind) {
      case 'go': {
        const { port, output, note, variables } = result
        if (variables !== undefined) Object.assign(thread.variables, variables)
        this.#leave(thread, stepId, step, { port, output, note })
        if (thread === this.#state.main && step.type === 'condition') {
          this.#state.filtered = port === 'false' && thread.step === 'end'
        }
        return
      }
      case 'wait':
        suspend(thread, 'delay', result.dueAt)
        return
      case 'skip':
        this.#journal.record(thread, step, { stepId, status: 'skipped', port: null, note: result.reason })
        if (thread === this.#state.main) this.#state.filtered = true
        moveTo(thread, 'end', this.#clock())
        return
      case 'stop':
        this.#journal.record(thread, step, { stepId, status: 'succeeded', port: null, note: result.reason })
        if (result.outcome !== 'failed') {
          this.#endWith('completed', result.outcome)
          return
        }
        this.#state.error ??= {
          step_id: stepId,
          code: 'stopped',
          message: result.reason ?? 'The flow stopped here.',
        }
        this.#endWith('failed', 'stopped')
    }
  }

  async #doCall(thread: Thread, stepId: StepId, step: CallStep): Promise<void> {
    const { iteration } = thread
    const name = { tenantId: this.#claim.tenant_id, executionId: this.#claim.id, stepId, iteration }
    const asOf = new Date(thread.since ?? this.#claim.created_at_ms)
    const call = callOf(this.#ctx, this.#program, step, name, this.#scope.of(thread, this.#state), asOf)
    let result: CallResult | null
    if (thread.waiting === 'completion') result = await completedAction(this.#ctx, name)
    else {
      thread.waiting = thread.due_at = null
      await this.#journal.settle()
      if (!this.#isCurrent(thread)) return
      result = await call.send(this.#claim.causation_depth)
    }
    const { input } = call
    const now = this.#clock()
    if (result === null || result.kind === 'accepted') {
      const look = Math.max(COMPLETION_LOOK_MS, (now - asOf.getTime()) / 10)
      suspend(thread, 'completion', now + Math.min(look, COMPLETION_LOOK_MAX_MS))
    } else if (result.kind === 'busy') {
      suspend(thread, 'retry', now + BUSY_LOOK_MS)
    } else if (result.kind === 'success') {
      this.#leave(thread, stepId, step, { port: 'success', input, output: result.output })
      // The last boundary follows at once.
      if (thread === this.#state.main && thread.step === 'end') return
      return this.#journal.boundary()
    } else {
      thread.failures++
      const pause = retryPauseMs(step.retry, thread.failures, result)
      if (pause === null) return this.#fail(thread, stepId, step, result, input)
      suspend(thread, 'retry', now + pause)
    }
    // Other lines may go on for long before the execution pauses.
    if (this.#state.loop !== null) await this.#journal.boundary()
  }

  async #doWait(thread: Thread, stepId: StepId, step: WaitStep): Promise<void> {
    const { iteration } = thread
    let received = this.#received.get(iteration) ?? null
    if (thread.waiting !== 'event' && received === null) {
      // The wait must not be seen before the steps that led to it.
      await this.#journal.settle()
      if (!this.#isCurrent(thread)) return
      const since = thread.since ?? this.#claim.created_at_ms
      const registered = await this.#ctx.waits.register({
        claim: this.#claim,
        stepId,
        iteration,
        step,
        program: this.#program,
        scope: this.#scope.of(thread, this.#state),
        sinceMs: since,
        now: new Date(this.#clock()),
      })
      if (registered === 'not_ours') return this.#journal.boundary()
      if (registered === 'registered') {
        if (!this.#isCurrent(thread)) this.#journal.closeWait(iteration)
        suspend(thread, 'event', since + step.config.timeout_ms)
        return
      }
      received = registered
    }
    this.#received.delete(iteration)
    this.#journal.closeWait(iteration)
    this.#leave(thread, stepId, step, {
      port: received === null ? 'timeout' : 'received',
      output: received?.output ?? null,
    })
  }

  #doLoop(thread: Thread, stepId: StepId, step: ForEachStep): void {
    const { list: tree, max_items, concurrency, body } = step.config
    const now = this.#clock()
    const list = render(this.#program, tree, this.#scope.of(thread, this.#state), new Date(now))
    if (!Array.isArray(list)) {
      throw new StepError('not_a_list', 'The list of the loop did not come out as a list.')
    }
    if (list.length > max_items) {
      const message = `The list has ${list.length} items; max_items is ${max_items}.`
      throw new StepError('too_many_items', message)
    }
    this.#journal.touch()
    if (list.length === 0) {
      this.#leave(thread, stepId, step, { port: 'done', output: { count: 0 } })
      return
    }
    enterLoop(this.#state, list, { body, places: Math.min(concurrency, list.length) }, now)
  }

  /** A line has come to its end: an item's makes room for the next one, the main one ends the execution. */
  #arrive(thread: Thread): void {
    const { loop, main } = this.#state
    if (thread === main || loop === null) {
      if (this.#state.error !== null) this.#endWith('failed', 'handled', true)
      else this.#endWith('completed', this.#state.filtered ? 'filtered' : 'done')
      return
    }
    const step = this.#program.step(loop.step) as ForEachStep
    this.#scope.forget(thread.iteration)
    this.#journal.touch()
    if (!endItem(this.#state, thread, step.config.body, this.#clock())) return
    this.#state.loop = null
    this.#leave(main, loop.step, step, { port: 'done', output: { count: loop.succeeded } })
  }

  /** A step succeeded: it is recorded, and the line, unless it was dropped meanwhile, moves on. */
  #leave(
    thread: Thread,
    stepId: StepId,
    step: CanonicalStep,
    done: { port: string; output: unknown; input?: unknown; note?: string | null },
  ): void {
    this.#journal.record(thread, step, { stepId, status: 'succeeded', ...done })
    if (!this.#isCurrent(thread)) return
    this.#scope.setOutput(thread, stepId, done.output)
    moveTo(thread, targetOf(step, done.port), this.#clock())
  }

  /** The step's error port, else the flow's handlers, else the execution fails. */
  async #fail(
    thread: Thread,
    stepId: StepId,
    step: CanonicalStep,
    { code, message }: { code: string; message: string },
    input: unknown = null,
  ): Promise<void> {
    const error = { code, message }
    const port = 'error' in step.next ? 'error' : null
    const output = port === null ? null : { error }
    this.#journal.record(thread, step, { stepId, status: 'failed', port, input, output, error })
    if (!this.#isCurrent(thread)) return
    if (port !== null) {
      this.#scope.setOutput(thread, stepId, output)
      moveTo(thread, targetOf(step, port), this.#clock())
      return this.#journal.boundary()
    }
    const [handler] = this.#program.flow.handlers
    const isInHandler = this.#state.error !== null
    this.#state.error ??= { step_id: stepId, ...error }
    if (handler === undefined || isInHandler) {
      this.#endWith('failed', isInHandler ? 'handler_failed' : null)
      return
    }
    for (const { iteration, waiting } of this.#state.loop?.threads ?? []) {
      if (waiting === 'event') this.#journal.closeWait(iteration)
    }
    this.#state.loop = null
    moveTo(this.#state.main, handler, this.#clock())
    return this.#journal.boundary()
  }

  #endWith(status: RunEnd['status'], reason: string | null, handled = false): void {
    this.#ending ??= { status, reason, handled }
  }

  /** Dropped lines stop where they are: a handler was entered, their loop is over, or all ends. */
  #isCurrent(thread: Thread): boolean {
    return this.#ending === null && threadsOf(this.#state).includes(thread)
  }
}
