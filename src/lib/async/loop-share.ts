/** The time for which a slice of work keeps the event loop; a single unit of work may take as long once more. */
const SLICE_MS = 8

/** The time after which work done counts half. */
const FADE_MS = 2_000
/** So much of the last seconds is much. */
const BUSY_MS = 500

/**
 * Shares the event loop among parties that have much to do in memory: tenants. A worker asks for a turn between two
 * units of work and goes on at once while the loop is not held up; else it waits in its party's queue, the loop goes
 * on with all else, and the parties get a slice each, one after the other, however much any of them has queued.
 */
export class LoopShare {
  readonly #sliceMs: number
  readonly #queues = new Map<string, (() => void)[]>()
  /** Null: nobody has worked since the loop went round. */
  #sliceEndsAt: number | null = null
  #isScheduled = false
  /** Milliseconds that parties have had lately. */
  readonly #used = new Map<string, number>()
  #total = 0
  #fadedAt = performance.now()
  #working: { party: string; since: number } | null = null

  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs
  }

  /** Null: go on at once, which costs nothing; else when to. */
  turn(party: string): Promise<void> | null {
    const now = performance.now()
    if (this.#sliceEndsAt === null) {
      this.#sliceEndsAt = now + this.#sliceMs
      this.#schedule()
    }
    this.#charge(now)
    if (now < this.#sliceEndsAt && this.#queues.size === 0) {
      this.#working = { party, since: now }
      return null
    }
    return new Promise((resume) => {
      const queue = this.#queues.get(party)
      if (queue === undefined) this.#queues.set(party, [resume])
      else queue.push(resume)
    })
  }

  /** Does what is no unit of work that could wait for a turn, and charges it to the party. */
  charged<T>(party: string, work: () => T): T {
    const startedAt = performance.now()
    this.#charge(startedAt)
    this.#working = { party, since: startedAt }
    try {
      return work()
    } finally {
      this.#charge(performance.now())
    }
  }

  /** Charges what was done for the party in a place that cannot be wrapped. */
  charge(party: string, ms: number): void {
    this.#charge(performance.now())
    this.#used.set(party, (this.#used.get(party) ?? 0) + ms)
    this.#total += ms
  }

  /** Tells whether the loop has lately spent much of its time on parties. */
  get isBusy(): boolean {
    this.#charge(performance.now())
    return this.#total > BUSY_MS
  }

  /** Returns whether the party is one of those that the loop is busy with: it has had its part of it, or more. */
  isHeavy(party: string): boolean {
    return this.isBusy && (this.#used.get(party) ?? 0) * this.#used.size >= this.#total
  }

  /** Charges the time since the last turn to the party that had it, unless the loop went round since. */
  #charge(now: number): void {
    if (this.#working !== null) {
      const { party, since } = this.#working
      this.#used.set(party, (this.#used.get(party) ?? 0) + now - since)
      this.#total += now - since
      this.#working = null
    }
    if (now - this.#fadedAt < FADE_MS) return
    const factor = 0.5 ** Math.floor((now - this.#fadedAt) / FADE_MS)
    this.#fadedAt = now
    this.#total = 0
    for (const [party, ms] of this.#used) {
      const left = ms * factor
      if (left < 1) this.#used.delete(party)
      else this.#used.set(party, left)
      if (left >= 1) this.#total += left
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#sliceEndsAt = null
      this.#charge(performance.now())
      if (this.#queues.size > 0) this.#resumeNext()
    })
  }

  /** Lets one go on, and more of them while the slice lasts: most have little left to do. */
  #resumeNext(): void {
    const [next] = this.#queues
    if (next === undefined) return
    const now = performance.now()
    this.#charge(now)
    this.#sliceEndsAt ??= now + this.#sliceMs
    this.#schedule()
    if (now >= this.#sliceEndsAt) return
    const [party, queue] = next
    const resume = queue.shift()
    this.#queues.delete(party)
    // Behind all others.
    if (queue.length > 0) this.#queues.set(party, queue)
    this.#working = { party, since: performance.now() }
    resume?.()
    // Comes after what was resumed has worked: continuations of a promise are microtasks, too.
    queueMicrotask(() => this.#resumeNext())
  }
}

/** A process has one event loop, and so one of these. */
export const loopShare = new LoopShare()
