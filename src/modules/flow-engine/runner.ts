import type { FastifyBaseLogger } from 'fastify'
import type { ExecutionStatus } from '../../../db/schema.ts'
import type {
  ActionStep,
  CanonicalStep,
  ForEachStep,
  HttpStep,
  StepId,
  WaitEventStep,
} from '../../lib/flow/types.ts'
import {
  actionInput,
  callAction,
  type CallContext,
  callHttp,
  type CallName,
  type CallResult,
  completedAction,
  httpInput,
} from './calls.ts'
import { render, StepError } from './evaluate.ts'
import type { Boundary, BoundaryAnswer, ClaimedExecution, StepRecord } from './execution-repository.ts'
import type { Program } from './program.ts'
import { retryPauseMs } from './retry.ts'
import { isPure, runPure, targetOf } from './run-step.ts'
import type { ScopeBuilder } from './scope.ts'
import {
  type ExecutionError,
  type ExecutionState,
  moveTo,
  newThread,
  nextDueAt,
  suspend,
  type Thread,
  threadsOf,
} from './state.ts'
import type { ReceivedEvent, Waits } from './waits.ts'

export interface RunnerContext extends CallContext {
  waits: Waits
  log: FastifyBaseLogger
  /** Writes a boundary; resolves when it is durable. */
  commit(boundary: Boundary): Promise<BoundaryAnswer>
}

/** What is left to look at once an execution has ended. */
export interface RunEnd {
  status: ExecutionStatus
  /** False: somebody else has it by now. */
  ours: boolean
}

/** An accepted action is looked after so often until its plugin completes it. */
const COMPLETION_LOOK_MS = 2_000

/** The execution has ended, is cancelled, or belongs to somebody else: every line of it stops. */
class Ended extends Error {}

/**
 * Runs one claimed execution until it ends or has to wait. Steps that ask nobody ride along with the next boundary;
 * before every call and after it there is one, so that only the call under way when the process dies may repeat.
 */
export class Run {
  readonly #ctx: RunnerContext
  readonly #claim: ClaimedExecution
  readonly #program: Program
  readonly #state: ExecutionState
  readonly #scope: ScopeBuilder
  readonly #received: Map<string, ReceivedEvent>
  readonly #leaseMs: number
  readonly #clock: () => number
  #records: StepRecord[] = []
  #stepCount: number
  #knownReceived: number
  #end: RunEnd | null = null

  constructor(options: {
    ctx: RunnerContext
    claim: ClaimedExecution
    program: Program
    scope: ScopeBuilder
    /** Events that have come for its waits, by iteration. */
    received: Map<string, ReceivedEvent>
    leaseMs: number
    /** Epoch milliseconds of the database's clock. */
    clock: () => number
  }) {
    this.#ctx = options.ctx
    this.#claim = options.claim
    this.#program = options.program
    this.#state = options.claim.state
    this.#scope = options.scope
    this.#received = options.received
    this.#leaseMs = options.leaseMs
    this.#clock = options.clock
    this.#stepCount = options.claim.step_count
    this.#knownReceived = options.claim.received
  }

  async run(): Promise<RunEnd> {
    try {
      for (;;) {
        if (this.#clock() >= this.#claim.expires_at_ms) await this.#finish('timed_out', 'lifetime')
        const ready = threadsOf(this.#state).filter((thread) => this.#isReady(thread))
        if (ready.length === 0) return await this.#pause()
        await Promise.all(ready.map((thread) => this.#advance(thread)))
      }
    } catch (error) {
      if (error instanceof Ended && this.#end !== null) return this.#end
      throw error
    }
  }

  #isReady(thread: Thread): boolean {
    if (thread.waiting === null) return true
    if (thread.waiting === 'event' && this.#received.has(thread.iteration)) return true
    return thread.due_at !== null && thread.due_at <= this.#clock()
  }

  /** Takes one line as far as it goes: to a wait, to the end of it, or to the end of the execution. */
  async #advance(thread: Thread): Promise<void> {
    while (this.#isReady(thread) && this.#isCurrent(thread)) {
      if (thread.step === 'end') {
        await this.#arrive(thread)
        continue
      }
      const step = this.#program.step(thread.step)
      thread.since ??= this.#clock()
      try {
        await this.#do(thread, thread.step, step)
      } catch (error) {
        if (!(error instanceof StepError)) throw error
        await this.#fail(thread, step, error.code, error.message, null)
      }
    }
  }

  async #do(thread: Thread, stepId: StepId, step: CanonicalStep): Promise<void> {
    if (isPure(step)) return this.#doPure(thread, stepId, step)
    switch (step.type) {
      case 'action':
      case 'http':
        return this.#doCall(thread, stepId, step)
      case 'wait_event':
        return this.#doWait(thread, stepId, step)
      case 'for_each':
        return this.#doLoop(thread, step)
    }
  }

  async #doPure(
    thread: Thread,
    stepId: StepId,
    step: Extract<CanonicalStep, { type: string }> & Parameters<typeof runPure>[1],
  ) {
    if (thread.waiting === 'delay') {
      this.#record(thread, step, {
        status: 'succeeded',
        port: 'next',
        output: { waited_until: iso(thread.due_at) },
      })
      moveTo(thread, targetOf(step, 'next'))
      return
    }
    const result = runPure(this.#program, step, this.#scope.of(thread, this.#state), new Date(this.#clock()))
    switch (result.kind) {
      case 'go':
        this.#state.filtered = step.type === 'condition' && result.port === 'false'
        if (result.variables !== undefined) Object.assign(thread.variables, result.variables)
        this.#record(thread, step, {
          status: 'succeeded',
          port: result.port,
          output: result.output,
          note: result.note,
        })
        this.#scope.setOutput(thread, stepId, result.output)
        {
          moveTo(thread, result.to)
          return
        }
      case 'wait': {
        suspend(thread, 'delay', result.dueAt)
        return
      }
      case 'skip':
        this.#record(thread, step, { status: 'skipped', port: null, note: result.reason })
        this.#state.filtered = true
        {
          moveTo(thread, 'end')
          return
        }
      case 'stop':
        this.#record(thread, step, { status: 'succeeded', port: null, note: result.reason })
        if (result.outcome !== 'failed') return this.#finish('completed', result.outcome)
        this.#state.error ??= {
          step_id: stepId,
          code: 'stopped',
          message: result.reason ?? 'The flow stopped here.',
        }
        return this.#finish('failed', 'stopped')
    }
  }

  async #doCall(thread: Thread, stepId: StepId, step: ActionStep | HttpStep): Promise<void> {
    const name: CallName = {
      tenantId: this.#claim.tenant_id,
      executionId: this.#claim.id,
      stepId,
      iteration: thread.iteration,
    }
    const now = new Date(this.#clock())
    const scope = this.#scope.of(thread, this.#state)
    const input =
      step.type === 'action'
        ? actionInput(this.#program, step, scope, now)
        : httpInput(this.#program, step, scope, now)
    let result: CallResult | null
    if (thread.waiting === 'completion') {
      result = await completedAction(this.#ctx, name)
      if (result === null) {
        suspend(thread, 'completion', this.#clock() + COMPLETION_LOOK_MS)
        return
      }
    } else {
      if (thread.waiting !== null) thread.waiting = thread.due_at = null
      if (this.#records.length > 0) await this.#boundary()
      result = await this.#call(step, name, input)
    }
    if (!this.#isCurrent(thread)) return
    switch (result.kind) {
      case 'accepted': {
        suspend(thread, 'completion', this.#clock() + COMPLETION_LOOK_MS)
        return
      }
      case 'success':
        this.#state.filtered = false
        this.#record(thread, step, { status: 'succeeded', port: 'success', input, output: result.output })
        this.#scope.setOutput(thread, stepId, result.output)
        moveTo(thread, targetOf(step, 'success'))
        return this.#boundary()
      case 'failure': {
        thread.failures++
        const pause = retryPauseMs(step.retry, thread.failures, result)
        if (pause === null) return this.#fail(thread, step, result.code, result.message, input)
        suspend(thread, 'retry', this.#clock() + pause)
        return
      }
    }
  }

  async #call(step: ActionStep | HttpStep, name: CallName, input: unknown): Promise<CallResult> {
    if (step.type === 'action') {
      return callAction(this.#ctx, name, step, input as Record<string, unknown>, this.#claim.causation_depth)
    }
    const timeoutMs = step.timeout_ms ?? this.#program.flow.settings.timeout_ms
    return callHttp(this.#ctx, name, input as Parameters<typeof callHttp>[2], timeoutMs)
  }

  async #doWait(thread: Thread, stepId: StepId, step: WaitEventStep): Promise<void> {
    let received = this.#received.get(thread.iteration)
    if (thread.waiting !== 'event') {
      // The wait must not be seen before the steps that led to it.
      if (this.#records.length > 0) await this.#boundary()
      const now = new Date(this.#clock())
      const registered = await this.#ctx.waits.register({
        tenantId: this.#claim.tenant_id,
        executionId: this.#claim.id,
        stepId,
        iteration: thread.iteration,
        step,
        program: this.#program,
        scope: this.#scope.of(thread, this.#state),
        now,
      })
      if (registered === null) {
        suspend(thread, 'event', now.getTime() + step.config.timeout_ms)
        return
      }
      received = registered
    }
    this.#received.delete(thread.iteration)
    await this.#ctx.waits.remove(this.#claim.tenant_id, this.#claim.id, thread.iteration)
    const port = received === undefined ? 'timeout' : 'received'
    const output = received === undefined ? null : received.output
    this.#record(thread, step, { status: 'succeeded', port, output })
    this.#scope.setOutput(thread, stepId, output)
    moveTo(thread, targetOf(step, port))
  }

  async #doLoop(thread: Thread, step: ForEachStep): Promise<void> {
    const now = new Date(this.#clock())
    const list = render(this.#program, step.config.list, this.#scope.of(thread, this.#state), now)
    if (!Array.isArray(list))
      throw new StepError('not_a_list', 'The list of the loop did not come out as a list.')
    if (list.length > step.config.max_items) {
      throw new StepError(
        'too_many_items',
        `The list has ${list.length} items; max_items is ${step.config.max_items}.`,
      )
    }
    const places = Math.min(step.config.concurrency, list.length)
    this.#state.loop = { step: thread.step, items: list, next: places, succeeded: 0, threads: [] }
    if (places === 0) {
      this.#leaveLoop()
      return
    }
    for (let index = 0; index < places; index++) {
      this.#state.loop.threads.push(newThread(String(index), step.config.body, { ...thread.variables }))
    }
    suspend(thread, 'loop', null)
  }

  /** A line has come to its end: an item's makes room for the next one, the main one ends the execution. */
  async #arrive(thread: Thread): Promise<void> {
    const { loop, main } = this.#state
    if (thread === main || loop === null) {
      if (this.#state.error !== null) return this.#finish('failed', 'handled', true)
      return this.#finish('completed', this.#state.filtered ? 'filtered' : 'done')
    }
    loop.succeeded++
    this.#scope.forget(thread.iteration)
    this.#state.filtered = false
    if (loop.next < loop.items.length) {
      const body = (this.#program.step(loop.step) as ForEachStep).config.body
      Object.assign(thread, newThread(String(loop.next++), body, { ...main.variables }))
      return
    }
    loop.threads = loop.threads.filter((other) => other !== thread)
    if (loop.threads.length === 0) this.#leaveLoop()
  }

  #leaveLoop(): void {
    const { loop, main } = this.#state
    if (loop === null) return
    const step = this.#program.step(loop.step)
    const output = { count: loop.succeeded }
    this.#state.loop = null
    this.#record(main, step, { status: 'succeeded', port: 'done', output })
    this.#scope.setOutput(main, loop.step, output)
    moveTo(main, targetOf(step, 'done'))
  }

  /** The step's error port, else the flow's handlers, else the execution fails. */
  async #fail(
    thread: Thread,
    step: CanonicalStep,
    code: string,
    message: string,
    input: unknown,
  ): Promise<void> {
    const stepId = thread.step
    const error: ExecutionError = { step_id: stepId, code, message }
    const port = 'error' in step.next ? 'error' : null
    this.#record(thread, step, { status: 'failed', port, input, error: { code, message } })
    this.#state.filtered = false
    if (port !== null) {
      this.#scope.setOutput(thread, stepId, { error: { code, message } })
      moveTo(thread, targetOf(step, port))
      return this.#boundary()
    }
    const [handler] = this.#program.flow.handlers
    const inHandler = this.#state.error !== null
    this.#state.error ??= error
    if (handler === undefined || inHandler) return this.#finish('failed', inHandler ? 'handler_failed' : null)
    this.#state.loop = null
    moveTo(this.#state.main, handler)
    return this.#boundary()
  }

  /** Dropped lines stop where they are: a handler was entered, or their loop is over. */
  #isCurrent(thread: Thread): boolean {
    return threadsOf(this.#state).includes(thread)
  }

  #record(
    thread: Thread,
    step: CanonicalStep,
    done: Partial<StepRecord> & Pick<StepRecord, 'status' | 'port'>,
  ): void {
    const now = this.#clock()
    const startedAtMs = thread.since ?? now
    this.#records.push({
      number: this.#stepCount++,
      stepId: thread.step === 'end' ? 'end' : thread.step,
      iteration: thread.iteration,
      type: step.type,
      input: null,
      output: null,
      error: null,
      attempts: thread.failures + (done.status === 'failed' && thread.failures > 0 ? 0 : 1),
      note: null,
      startedAtMs,
      durationMs: Math.max(0, Math.round(now - startedAtMs)),
      ...done,
    })
  }

  async #pause(): Promise<RunEnd> {
    const waiting = threadsOf(this.#state).find(({ waiting }) => waiting !== null && waiting !== 'loop')
    const dueAt = nextDueAt(this.#state)
    const expires = this.#claim.expires_at_ms
    await this.#commit('waiting', waiting?.waiting ?? 'event', {
      dueAtMs: dueAt === null ? expires : Math.min(dueAt, expires),
    })
    return { status: 'waiting', ours: true }
  }

  async #boundary(): Promise<void> {
    await this.#commit('running', null, {})
  }

  async #finish(status: ExecutionStatus, reason: string | null, handled = false): Promise<never> {
    await this.#commit(status, reason, { handled, final: true })
    this.#end = { status, ours: true }
    throw new Ended()
  }

  async #commit(
    status: ExecutionStatus,
    reason: string | null,
    options: { dueAtMs?: number; handled?: boolean; final?: boolean },
  ): Promise<void> {
    if (this.#end !== null) throw new Ended()
    const { counted, cancelRequested } = await this.#ctx.commit({
      tenantId: this.#claim.tenant_id,
      id: this.#claim.id,
      flowId: this.#claim.flow_id,
      leaseToken: this.#claim.lease_token,
      status,
      reason,
      handled: options.handled ?? false,
      error: this.#state.error,
      state: JSON.stringify(this.#state),
      dueAtMs: options.dueAtMs ?? null,
      leaseMs: this.#leaseMs,
      stepCount: this.#stepCount,
      received: this.#knownReceived,
      steps: this.#records.splice(0),
    })
    if (!counted) {
      this.#end = { status, ours: false }
      throw new Ended()
    }
    if (cancelRequested && options.final !== true && status === 'running')
      await this.#finish('cancelled', 'requested')
  }
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
