import type { CanonicalStep } from '#lib/flow/types.ts'
import type { StepRecord } from '../run/boundary-repository.ts'
import type { RunEnd } from '../run/journal.ts'
import type { RunJournal } from '../run/ports.ts'
import { findRunner } from '../steps/index.ts'
import type { SimulatedStep, Simulation, Would } from './types.ts'
import type { Thread } from '../run/state.ts'

const MAX_STEPS = 5_000
const MAX_MS = 5_000
/** Characters of JSON of all inputs and outputs together. */
const MAX_CHARS = 4 * 1024 * 1024

/** Ends the simulation. */
export class LimitReached extends Error {
  readonly limit: NonNullable<Simulation['limit']>
  constructor(limit: NonNullable<Simulation['limit']>) {
    super(`the simulation met its limit: ${limit}`)
    this.limit = limit
  }
}

/** Ends the simulation as well: it came as far as it was to go. */
export class StepReached extends Error {}

/** Adds what a call or a wait has to say to the step's record. */
export interface Remark {
  would: Would
  note: string | null
}

/** Keeps what steps would have done, and writes nothing. */
export class SimulatedJournal implements RunJournal {
  readonly steps: SimulatedStep[] = []
  readonly end = null
  readonly isHalted = false
  readonly isFresh = false
  /** The time at which a run that waits goes on. */
  dueAtMs: number | null = null
  readonly #clock: () => number
  readonly #createdAtMs: number
  readonly #deadline = performance.now() + MAX_MS
  readonly #remarks = new Map<string, Remark>()
  readonly #until: string | undefined
  #chars = 0

  /** @param until the step whose record is the last */
  constructor(clock: () => number, until?: string) {
    this.#clock = clock
    this.#until = until
    this.#createdAtMs = clock()
  }

  remark({ stepId, iteration }: { stepId: string; iteration: string }, remark: Remark): void {
    this.#remarks.set(`${stepId}:${iteration}`, remark)
  }

  /** @throws {LimitReached | StepReached} */
  record(
    thread: Thread,
    step: CanonicalStep,
    done: Partial<StepRecord> & Pick<StepRecord, 'status' | 'port' | 'stepId'>,
  ): void {
    const name = `${done.stepId}:${thread.iteration}`
    const remark = this.#remarks.get(name)
    this.#remarks.delete(name)
    const { input = null, output = null } = done
    this.#chars += sizeOf(input) + sizeOf(output)
    if (this.steps.length >= MAX_STEPS) throw new LimitReached('steps')
    if (this.#chars > MAX_CHARS) throw new LimitReached('size')
    this.checkTime()
    this.steps.push({
      number: this.steps.length,
      step_id: done.stepId,
      iteration: thread.iteration,
      type: step.type,
      name: step.name,
      status: done.status === 'succeeded' ? 'simulated' : done.status,
      port: done.port,
      input,
      output,
      error: done.error ?? null,
      attempts: Math.max(1, thread.failures + (done.status === 'failed' ? 0 : 1)),
      note: done.note ?? remark?.note ?? null,
      would: remark?.would ?? waited(step, output),
      started_at: new Date(thread.since ?? this.#createdAtMs).toISOString(),
      finished_at: new Date(this.#clock()).toISOString(),
    })
    // A loop tells of each of its items as well.
    const isWhole = thread.iteration === '' || step.loop !== null
    if (done.stepId === this.#until && isWhole) throw new StepReached(done.stepId)
  }

  /** @throws {LimitReached} */
  checkTime(): void {
    if (performance.now() > this.#deadline) throw new LimitReached('time')
  }

  touch(): void {
    // There is nothing to write.
  }

  closeWait(): void {
    // No wait was registered.
  }

  beforeCall(): Promise<void> {
    return Promise.resolve()
  }

  settle(): Promise<void> {
    return Promise.resolve()
  }

  boundary(): Promise<void> {
    return Promise.resolve()
  }

  close(last: Parameters<RunJournal['close']>[0]): Promise<RunEnd> {
    const { status, reason, handled = false, dueAtMs = null } = last
    this.dueAtMs = dueAtMs
    return Promise.resolve({ status, reason, handled, ours: true })
  }
}

function waited(step: CanonicalStep, output: unknown): Would | null {
  const until = findRunner(step)?.waitedUntil?.(output) ?? null
  return until === null ? null : { kind: 'wait', until, events: [] }
}

function sizeOf(value: unknown): number {
  return value === null || value === undefined ? 0 : JSON.stringify(value).length
}
