/** What a slice of work keeps the event loop for; a single unit of work may take as long once more. */
const SLICE_MS = 8

/**
 * Shares the event loop among parties that have much to do in memory: tenants. Who works asks for a turn between two
 * units of work and goes on at once while the loop is not held up; else it waits in its party's queue, the loop goes on
 * with all else, and the parties get a slice each, one after the other, however much any of them has queued.
 */
export class LoopShare {
  readonly #sliceMs: number
  readonly #queues = new Map<string, (() => void)[]>()
  /** Null: nobody has worked since the loop went round. */
  #sliceEndsAt: number | null = null
  #isScheduled = false

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
    if (now < this.#sliceEndsAt && this.#queues.size === 0) return null
    return new Promise((resume) => {
      const queue = this.#queues.get(party)
      if (queue === undefined) this.#queues.set(party, [resume])
      else queue.push(resume)
    })
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#sliceEndsAt = null
      if (this.#queues.size > 0) this.#resumeNext()
    })
  }

  /** Lets one go on, and more of them while the slice lasts: most have little left to do. */
  #resumeNext(): void {
    const [next] = this.#queues
    if (next === undefined) return
    const now = performance.now()
    this.#sliceEndsAt ??= now + this.#sliceMs
    this.#schedule()
    if (now >= this.#sliceEndsAt) return
    const [party, queue] = next
    const resume = queue.shift()
    this.#queues.delete(party)
    // Behind all others.
    if (queue.length > 0) this.#queues.set(party, queue)
    resume?.()
    // Comes after what was resumed has worked: continuations of a promise are microtasks, too.
    queueMicrotask(() => this.#resumeNext())
  }
}

/** A process has one event loop, and so one of these. */
export const loopShare = new LoopShare()
