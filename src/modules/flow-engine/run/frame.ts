import type { FlowScope } from '#lib/flow/scope.ts'
import type { CanonicalStep, StepId } from '#lib/flow/types.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import type { RunEnd } from './journal.ts'
import type { RunCalls, RunJournal, RunWaits } from './ports.ts'
import type { Program } from './program.ts'
import { targetOf } from '../steps/run-step.ts'
import type { ScopeBuilder } from './scope.ts'
import { type ExecutionState, moveTo, type Thread, threadsOf } from './state.ts'
import type { ReceivedEvent } from '../wait/waits.ts'

export interface FrameOptions {
  claim: ClaimedExecution
  program: Program
  journal: RunJournal
  calls: RunCalls
  waits: RunWaits
  scope: ScopeBuilder
  /** Events that have come for its waits, by iteration. */
  received: Map<string, ReceivedEvent>
  /** Epoch milliseconds of the database's clock, whole. */
  clock: () => number
}

/** A line at one of the flow's steps. */
export interface Position<Step extends CanonicalStep = CanonicalStep> {
  thread: Thread
  stepId: StepId
  step: Step
}

/** What the lines of one held execution share, and the ways out of a step. */
export class Frame {
  readonly claim: ClaimedExecution
  readonly program: Program
  readonly journal: RunJournal
  readonly calls: RunCalls
  readonly waits: RunWaits
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
    this.scope = options.scope
    this.received = options.received
    this.clock = options.clock
    this.state = options.claim.state
  }

  /** How the execution is to end; null: it goes on. */
  get ending(): Omit<RunEnd, 'ours'> | null {
    return this.#ending
  }

  /** The first reason to end counts. */
  endWith(status: RunEnd['status'], reason: string | null, handled = false): void {
    this.#ending ??= { status, reason, handled }
  }

  /** Dropped lines stop where they are: a handler was entered, their loop is over, or all ends. */
  isCurrent(thread: Thread): boolean {
    return this.#ending === null && threadsOf(this.state).includes(thread)
  }

  /**
   * What `now` is for steps, in epoch milliseconds: until the first boundary the moment at which the execution was
   * taken up, so that steps before the first call need no boundary of their own. Done again, they come to the same.
   */
  now(): number {
    return this.journal.isFresh ? this.claim.started_at_ms : this.clock()
  }

  scopeOf(thread: Thread): FlowScope {
    return this.scope.of(thread, this.state)
  }

  /** A step succeeded: it is recorded, and the line, unless it was dropped meanwhile, moves on. */
  leave(
    { thread, stepId, step }: Position,
    done: { port: string; output: unknown; input?: unknown; note?: string | null },
    now = this.now(),
  ): void {
    this.journal.record(thread, step, { stepId, status: 'succeeded', ...done })
    if (!this.isCurrent(thread)) return
    this.scope.setOutput(thread, stepId, done.output)
    moveTo(thread, targetOf(step, done.port), now)
  }

  /** The step's error port, else the flow's handlers, else the execution fails. */
  async fail(
    { thread, stepId, step }: Position,
    { code, message }: { code: string; message: string },
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
    return this.#enterHandlers({ step_id: stepId, ...error }, step.handler)
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
    this.state.loop = null
    moveTo(this.state.main, handler, this.clock())
    return this.journal.boundary()
  }
}
