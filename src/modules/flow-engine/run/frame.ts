import type { FlowScope } from '#lib/flow/scope.ts'
import { findDefinition } from '#lib/flow/steps/index.ts'
import { type CanonicalStep, END, type StepId } from '#lib/flow/types.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import type { RunEnd } from './journal.ts'
import type { RunCalls, RunHeld, RunJournal, RunWaits } from './ports.ts'
import { type Program, targetOf } from './program.ts'
import type { ScopeBuilder } from './scope.ts'
import { type ExecutionState, moveTo, type Thread, threadsOf } from './state.ts'
import type { ReceivedEvent } from '../wait/waits.ts'

export interface FrameOptions {
  claim: ClaimedExecution
  program: Program
  journal: RunJournal
  calls: RunCalls
  waits: RunWaits
  held: RunHeld
  scope: ScopeBuilder
  /** Events that have come for its waits, by iteration. */
  received: Map<string, ReceivedEvent>
  /** Epoch milliseconds of the database's clock, whole. */
  clock: () => number
}

/** A thread at one of the flow's steps. */
export interface Position<Step extends CanonicalStep = CanonicalStep> {
  thread: Thread
  stepId: StepId
  step: Step
}

/** Failures that the flow has no part in, and that trying again does not help. */
const OUTSIDE_CODES = new Set(['platform_not_configured', 'completion_timeout'])

/** Holds what the threads of one claimed execution share, and the ways out of a step. */
export class Frame {
  readonly claim: ClaimedExecution
  readonly program: Program
  readonly journal: RunJournal
  readonly calls: RunCalls
  readonly waits: RunWaits
  readonly held: RunHeld
  readonly scope: ScopeBuilder
  readonly received: Map<string, ReceivedEvent>
  readonly clock: () => number
  readonly state: ExecutionState
  #ending: Omit<RunEnd, 'ours'> | null = null

  constructor(options: FrameOptions) {
    this.claim = options.claim
    this.program = options.program
    this.journal = options.journal
    this.calls = options.calls
    this.waits = options.waits
    this.held = options.held
    this.scope = options.scope
    this.received = options.received
    this.clock = options.clock
    this.state = options.claim.state
    // Those before it got through: its turn has come, whatever it was to wait for by itself. Or the one before it has left.
    const { main } = this.state
    if (main.held_by !== undefined && (this.claim.held_by === null || main.behind === true)) main.due_at = 0
  }

  /** The way in which the execution is to end; null: it goes on. */
  get ending(): Omit<RunEnd, 'ours'> | null {
    return this.#ending
  }

  /** Has the execution end; the first reason to counts. */
  endWith(status: RunEnd['status'], reason: string | null, handled = false): void {
    this.#ending ??= { status, reason, handled, atFault: status === 'failed' && this.state.outside !== true }
  }

  /** Tells a thread that goes on from a dropped one: a handler was entered, its loop is over, or the execution ends. */
  isCurrent(thread: Thread): boolean {
    return this.#ending === null && threadsOf(this.state).includes(thread)
  }

  /**
   * Returns what `now` is for steps, in epoch milliseconds: until the first boundary the moment at which the execution was
   * taken up, so that steps before the first call need no boundary of their own. Done again, they come to the same.
   */
  now(): number {
    return this.journal.isFresh ? this.claim.started_at_ms : this.clock()
  }

  scopeOf(thread: Thread): FlowScope {
    return this.scope.of(thread, this.state)
  }

  /** Records that a step succeeded, and moves the thread on, unless it was dropped meanwhile. */
  leave<Step extends CanonicalStep>(
    { thread, stepId, step }: Position<Step>,
    done: { port: keyof Step['next'] & string; output: unknown; input?: unknown; note?: string | null },
    now = this.now(),
  ): void {
    this.journal.record(thread, step, { stepId, status: 'succeeded', ...done })
    if (!this.isCurrent(thread)) return
    this.scope.setOutput(thread, stepId, done.output)
    moveTo(thread, targetOf(step, done.port), now)
  }

  /** Goes on by the step's error port, else by the flow's handlers; else the execution fails. */
  async fail(
    { thread, stepId, step }: Position,
    { code, message, ...failure }: { code: string; message: string; transient?: boolean },
    input: unknown = null,
  ): Promise<void> {
    const error = { code, message }
    const port = 'error' in step.next ? 'error' : null
    const output = port === null ? null : { error }
    this.journal.record(thread, step, { stepId, status: 'failed', port, input, output, error })
    if (!this.isCurrent(thread)) return
    if (port !== null) {
      this.scope.setOutput(thread, stepId, output)
      thread.caught = { step_id: stepId, ...error }
      moveTo(thread, targetOf(step, port), this.clock())
      return this.journal.boundary()
    }
    if (this.#outlivesError(thread)) {
      thread.failed = error
      moveTo(thread, END, this.clock())
      return this.journal.boundary()
    }
    const isOutside = failure.transient === true || OUTSIDE_CODES.has(code)
    if (this.state.error === null && isOutside) this.state.outside = true
    return this.#enterHandlers({ step_id: stepId, ...error }, step.handler)
  }

  #outlivesError(thread: Thread): boolean {
    const { loop, main } = this.state
    if (loop === null || thread === main) return false
    const step = this.program.step(loop.step)
    return findDefinition(step.type)?.body?.outlivesErrors(step.config) === true
  }

  async #enterHandlers(error: NonNullable<ExecutionState['error']>, isHandler: boolean): Promise<void> {
    const [handler] = this.program.flow.handlers
    // An error port leads to a handler without the flow having failed.
    const isInHandler = isHandler || this.state.error !== null
    this.state.error ??= error
    if (handler === undefined || isInHandler) {
      this.endWith('failed', isInHandler ? 'handler_failed' : null)
      return
    }
    for (const { iteration, waiting } of this.state.loop?.threads ?? []) {
      if (waiting === 'event') this.journal.closeWait(iteration)
    }
    if (this.state.loop !== null) this.state.interrupted = this.state.loop
    this.state.loop = null
    moveTo(this.state.main, handler, this.clock())
    return this.journal.boundary()
  }
}
