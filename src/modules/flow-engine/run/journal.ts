import type { ExecutionStatus } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import type { CanonicalStep } from '#lib/flow/types.ts'
import type { Boundary, BoundaryAnswer, StepRecord } from './boundary-repository.ts'
import { attemptsOf } from './attempts.ts'
import type { ClaimedExecution } from './execution-repository.ts'
import { type ExecutionState, isInitial, type Thread } from './state.ts'

/** Says how one hold of an execution ended. */
export interface RunEnd {
  status: ExecutionStatus
  reason: string | null
  handled: boolean
  /** It failed by what the flow is, and not by the other side, a handler's work or its lifetime. */
  atFault?: boolean
  /** False: somebody else has it by now. */
  ours: boolean
}

/** A boundary renews the lease when so much of it is gone; those of one hold within that time write no index. */
const LEASE_PARTS = 2

/** The execution has ended, is cancelled, or belongs to somebody else: every thread of it stops. */
export class Ended extends Error {}

export interface JournalOptions {
  claim: ClaimedExecution
  /** Writes a boundary; resolves when it is durable. */
  commit: (boundary: Boundary) => Promise<BoundaryAnswer>
  leaseMs: number
  /** The time at which the execution was asked for, by `performance.now()`: its lease is no older. */
  takenAt: number
  /** Epoch milliseconds of the database's clock. */
  clock: () => number
}

/**
 * Keeps what one claimed execution has done and not yet written. Threads of a loop write through it one after the other,
 * never two states at once: a write that has not left yet takes everybody's news along.
 */
export class Journal {
  readonly #options: JournalOptions
  readonly #state: ExecutionState
  #records: StepRecord[] = []
  #closedWaits: string[] = []
  #stepCount: number
  #isDirty = false
  #writing: Promise<void> | null = null
  #next: Promise<void> | null = null
  #renewedAt: number
  #end: RunEnd | null = null
  #isHalted = false
  #isFresh: boolean

  constructor(options: JournalOptions) {
    this.#options = options
    this.#state = options.claim.state
    this.#renewedAt = options.takenAt
    this.#isFresh = isInitial(this.#state)
    this.#stepCount = options.claim.step_count
  }

  get end(): RunEnd | null {
    return this.#end
  }

  /** The tenant was stopped. */
  get isHalted(): boolean {
    return this.#isHalted
  }

  /**
   * Nothing of the execution is written yet but that it was taken up: whoever takes it up again does the same, as long
   * as the same time is now (see `Frame.now`).
   */
  get isFresh(): boolean {
    return this.#isFresh
  }

  get stepCount(): number {
    return this.#stepCount
  }

  record(
    thread: Thread,
    step: CanonicalStep,
    done: Partial<StepRecord> & Pick<StepRecord, 'status' | 'port' | 'stepId'>,
  ): void {
    const now = this.#options.clock()
    const startedAtMs = thread.since ?? this.#options.claim.started_at_ms
    const attempts = Math.max(1, thread.failures + (done.status === 'failed' ? 0 : 1))
    this.#isDirty = true
    this.#records.push({
      number: this.#stepCount++,
      iteration: thread.iteration,
      type: step.type,
      input: null,
      output: null,
      error: null,
      attempts,
      attemptLog: attemptsOf(thread, attempts),
      note: null,
      startedAtMs,
      durationMs: Math.max(0, Math.round(now - startedAtMs)),
      ...done,
    })
  }

  /** Notes that the state has changed by more than a record says. */
  touch(): void {
    this.#isDirty = true
  }

  /** Closes a thread's wait, as what it waited for is decided: with the next boundary. */
  closeWait(iteration: string): void {
    this.#isDirty = true
    this.#closedWaits.push(iteration)
  }

  /** Sees to it before a call that what was done is durable or comes out the same again, and the execution still ours. */
  async beforeCall(): Promise<void> {
    if (!this.#isFresh || this.#isOld() || this.#end !== null) await this.settle()
  }

  /** Sees to it that what was done so far is durable, and the execution still ours. */
  async settle(): Promise<void> {
    if (this.#isDirty || this.#isOld() || this.#end !== null) await this.boundary()
    // What another thread has sent may hold this one's news.
    else await this.#writing
  }

  /** Resolves once everything recorded so far is durable. @throws {Ended} */
  async boundary(): Promise<void> {
    this.#next ??= this.#inTurn({ status: 'running', reason: null })
    return this.#next
  }

  /** Writes the last boundary of this hold. @throws {Ended} */
  async close(last: {
    status: ExecutionStatus
    reason: string | null
    handled?: boolean
    atFault?: boolean
    dueAtMs?: number
  }): Promise<RunEnd> {
    await this.#writing?.catch(() => undefined)
    await this.#write(last)
    this.#end ??= {
      status: last.status,
      reason: last.reason,
      handled: last.handled ?? false,
      atFault: last.atFault ?? false,
      ours: true,
    }
    return this.#end
  }

  /** Leaves out of the log what no boundary could write: it may be what Postgres refuses. */
  discard(): void {
    this.#records = []
    this.#closedWaits = []
  }

  /** Tells a lease that has to be looked after, and with it whether the execution is still ours. */
  #isOld(): boolean {
    return performance.now() - this.#renewedAt > this.#options.leaseMs / LEASE_PARTS
  }

  /** While it tries, it stays the first of those who wait. */
  #heldBy(status: ExecutionStatus): string | null {
    if (status === 'waiting') return this.#state.main.held_by ?? null
    return status === 'running' ? this.#options.claim.held_by : null
  }

  async #inTurn(boundary: { status: ExecutionStatus; reason: string | null }): Promise<void> {
    // Leaves in a later turn, so that threads that go on in this one travel along.
    do await this.#writing?.catch(() => undefined)
    while (this.#writing !== null)
    this.#next = null
    const writing = this.#write(boundary)
    this.#writing = writing
    try {
      await writing
    } finally {
      if (this.#writing === writing) this.#writing = null
    }
  }

  async #write(boundary: {
    status: ExecutionStatus
    reason: string | null
    handled?: boolean
    dueAtMs?: number
  }): Promise<void> {
    if (this.#end !== null) throw new Ended()
    const { claim, commit } = this.#options
    const leaseMs = this.#isOld() ? this.#options.leaseMs : null
    const askedAt = performance.now()
    this.#isDirty = false
    // Not only when it is answered: other threads go on meanwhile, and what they do is no part of it.
    this.#isFresh = false
    const closedWaits = this.#closedWaits.splice(0)
    const steps = this.#records.splice(0)
    const answer = await commit({
      tenantId: claim.tenant_id,
      id: claim.id,
      leaseToken: claim.lease_token,
      status: boundary.status,
      reason: boundary.reason,
      handled: boundary.handled ?? false,
      error: this.#state.error,
      state: writeJson(this.#state),
      dueAtMs: boundary.dueAtMs ?? null,
      heldBy: this.#heldBy(boundary.status),
      wasHeld: claim.held_by !== null,
      leaseMs,
      stepCount: this.#stepCount,
      received: claim.received,
      closedWaits,
      steps,
    }).catch((error: unknown) => {
      // The next one takes them along.
      this.#closedWaits.unshift(...closedWaits)
      this.#records.unshift(...steps)
      this.#isDirty = true
      throw error
    })
    if (leaseMs !== null) this.#renewedAt = askedAt
    this.#isHalted = answer.isHalted
    if (answer.status === boundary.status) return
    this.#end = {
      status: answer.status ?? boundary.status,
      reason: null,
      handled: false,
      ours: answer.status !== null,
    }
    throw new Ended()
  }
}
