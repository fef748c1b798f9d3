import { overloaded } from '#infra/http/problems.ts'
import { SharedPlaces } from '#lib/async/shared-places.ts'
import { WaitList, type Waiting as Listed } from '#lib/async/wait-list.ts'

const BUSY = 'Events of the shop that wait to be stored take its share: send fewer at a time.'

/** The events of one call: they are written by one statement, together with those of other calls. */
export interface Submission {
  /** The tenant whose events they are; or what stands for several tenants. */
  readonly party: string
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
  /** Events and bytes that may wait or be under way, shared out by party. Beyond its share a party is told to come again. */
  events: number
  bytes: number
}

class Waiting<S> implements Listed<Waiting<S>> {
  before: Waiting<S> | null = null
  after: Waiting<S> | null = null
  readonly submission: S
  readonly end: (error: Error | null) => void

  constructor(submission: S, end: (error: Error | null) => void) {
    this.submission = submission
    this.end = end
  }
}

/** Parties that one statement passes over: looking at the first submission of each costs all others. */
const PASSED_OVER_MAX = 100

/** The submissions of one statement, as they are taken. */
class Batch<S extends Submission> {
  readonly taken: Waiting<S>[] = []
  events = 0
  #deliveries = 0
  readonly #limits: QueueLimits

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get isFull(): boolean {
    return this.events >= this.#limits.batch || this.#deliveries >= this.#limits.deliveries
  }

  /** Takes the first submission that waits if there is room for it. @returns whether it did */
  takeFirst(list: WaitList<Waiting<S>>): boolean {
    const { first } = list
    if (first === null) return false
    const events = this.events + first.submission.count
    const deliveries = this.#deliveries + first.submission.deliveries
    const fits = events <= this.#limits.batch && deliveries <= this.#limits.deliveries
    if (this.taken.length > 0 && !fits) return false
    list.remove(first)
    this.taken.push(first)
    this.events = events
    this.#deliveries = deliveries
    return true
  }
}

/**
 * Gathers what arrives while earlier flushes are under way. Nothing waits while none is: a submission that finds all
 * slots free leaves with the event loop's current turn. Beside another flush it leaves once enough are waiting, or when that
 * one has ended. The parties are served in turn, so that nobody waits for more than one statement of another one's at a time.
 */
export class IntakeQueue<S extends Submission> {
  readonly #limits: QueueLimits
  /** Writes submissions and never rejects: how each one ended is in the array, in order. */
  readonly #flush: (submissions: readonly S[]) => Promise<readonly (Error | null)[]>
  /** By party, the one first whose turn it is. */
  readonly #waiting = new Map<string, WaitList<Waiting<S>>>()
  readonly #events: SharedPlaces
  readonly #bytes: SharedPlaces
  #flushes = 0
  #waitingEvents = 0
  #scheduled = false

  constructor(limits: QueueLimits, flush: (submissions: readonly S[]) => Promise<readonly (Error | null)[]>) {
    this.#limits = limits
    this.#flush = flush
    this.#events = new SharedPlaces(limits.events)
    this.#bytes = new SharedPlaces(limits.bytes)
  }

  /** Resolves when the submission is written. @throws `overloaded`, or why it was not written */
  submit(submission: S): Promise<void> {
    if (!this.#enter(submission)) return Promise.reject(overloaded(BUSY))
    return new Promise((resolve, reject) => {
      const waiting = new Waiting(submission, (error) => (error === null ? resolve() : reject(error)))
      let list = this.#waiting.get(submission.party)
      if (list === undefined) this.#waiting.set(submission.party, (list = new WaitList()))
      list.add(waiting)
      this.#waitingEvents += submission.count
      this.#schedule()
    })
  }

  #enter({ party, count, bytes }: Submission): boolean {
    // What is larger than a share by itself must still get through an idle service.
    if (this.#events.isIdle) {
      this.#events.add(party, count)
      this.#bytes.add(party, bytes)
      return true
    }
    if (!this.#events.take(party, count)) return false
    if (this.#bytes.take(party, bytes)) return true
    this.#events.leave(party, count)
    return false
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.size === 0 || this.#flushes >= this.#limits.flushes) return
    if (this.#flushes > 0 && this.#waitingEvents < this.#limits.minBatch) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#run(this.#take())
      this.#schedule()
    })
  }

  /**
   * Takes one submission of each party in turn, until the statement is full. What does not fit keeps its turn and is in
   * nobody's way: behind a batch of a thousand events, single ones of others would else go one at a time.
   */
  #take(): Waiting<S>[] {
    const batch = new Batch<S>(this.#limits)
    let passedOver = 0
    // One that is set anew comes once more, behind all others.
    for (const [party, list] of this.#waiting) {
      let isTaken = batch.takeFirst(list)
      while (isTaken && this.#waiting.size === 1) isTaken = batch.takeFirst(list)
      if (list.first === null) this.#waiting.delete(party)
      else if (isTaken) {
        this.#waiting.delete(party)
        this.#waiting.set(party, list)
      } else if (batch.isFull || ++passedOver === PASSED_OVER_MAX) break
    }
    this.#waitingEvents -= batch.events
    return batch.taken
  }

  async #run(batch: readonly Waiting<S>[]): Promise<void> {
    this.#flushes++
    const errors = await this.#flush(batch.map(({ submission }) => submission))
    this.#flushes--
    batch.forEach(({ submission, end }, index) => {
      this.#events.leave(submission.party, submission.count)
      this.#bytes.leave(submission.party, submission.bytes)
      end(errors[index] ?? null)
    })
    this.#schedule()
  }
}
