import { overloaded } from '#infra/http/problems.ts'

/** The events of one call: they are written by one statement, together with those of other calls. */
export interface Submission {
  /** Number of events. */
  readonly count: number
  /** Number of deliveries that they make. */
  readonly deliveries: number
  /** About how much memory they hold. */
  readonly bytes: number
}

export interface QueueLimits {
  /** Events that one statement takes; a single larger submission goes alone. */
  batch: number
  /** Deliveries that one statement makes; the same. */
  deliveries: number
  /** Statements under way at once. */
  flushes: number
  /** Events that must be waiting for a further statement to join those under way. */
  minBatch: number
  /** Events and bytes that may wait or be under way. Beyond it callers are told to come again. */
  events: number
  bytes: number
}

interface Waiting<S> {
  submission: S
  resolve: () => void
  reject: (error: unknown) => void
}

/**
 * Gathers what arrives while earlier flushes are under way. Nothing waits while none is: a submission that finds all
 * slots free leaves with the event loop's current turn. Beside another flush it leaves once enough are waiting, or when that
 * one has ended.
 */
export class IntakeQueue<S extends Submission> {
  readonly #limits: QueueLimits
  /** Writes submissions and never rejects: how each one ended is in the array, in order. */
  readonly #flush: (submissions: readonly S[]) => Promise<readonly (Error | null)[]>
  #waiting: Waiting<S>[] = []
  #flushes = 0
  #waitingEvents = 0
  #events = 0
  #bytes = 0
  #scheduled = false

  constructor(limits: QueueLimits, flush: (submissions: readonly S[]) => Promise<readonly (Error | null)[]>) {
    this.#limits = limits
    this.#flush = flush
  }

  /** Resolves when the submission is written. @throws `overloaded`, or why it was not written */
  submit(submission: S): Promise<void> {
    const { events, bytes } = this.#limits
    const full = this.#events + submission.count > events || this.#bytes + submission.bytes > bytes
    // A submission that is larger than the limit by itself must still get through an idle service.
    if (full && this.#events > 0) return Promise.reject(overloaded())
    this.#events += submission.count
    this.#bytes += submission.bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ submission, resolve, reject })
      this.#waitingEvents += submission.count
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#flushes >= this.#limits.flushes) return
    if (this.#flushes > 0 && this.#waitingEvents < this.#limits.minBatch) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#run(this.#take())
      this.#schedule()
    })
  }

  #take(): Waiting<S>[] {
    let count = 0
    let deliveries = 0
    const end = this.#waiting.findIndex(({ submission }, index) => {
      const isFull =
        count + submission.count > this.#limits.batch ||
        deliveries + submission.deliveries > this.#limits.deliveries
      if (index > 0 && isFull) return true
      count += submission.count
      deliveries += submission.deliveries
      return false
    })
    this.#waitingEvents -= count
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : end)
  }

  async #run(batch: readonly Waiting<S>[]): Promise<void> {
    this.#flushes++
    const errors = await this.#flush(batch.map(({ submission }) => submission))
    this.#flushes--
    batch.forEach(({ submission, resolve, reject }, index) => {
      this.#events -= submission.count
      this.#bytes -= submission.bytes
      const error = errors[index] ?? null
      if (error === null) resolve()
      else reject(error)
    })
    this.#schedule()
  }
}
