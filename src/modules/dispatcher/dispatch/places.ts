import { hasShare } from '#lib/async/share.ts'

/** As long as a plugin has for its answer by default. */
const WAIT_MS = 10_000

/** Places of one process, shared out by party: alone a party may take four fifths of them. */
export class SharedPlaces {
  #free: number
  readonly #taken = new Map<string, number>()

  constructor(total: number) {
    this.#free = total
  }

  /** @returns false: the party has its share, and has taken none of them */
  take(party: string, count = 1): boolean {
    const own = this.#taken.get(party) ?? 0
    const free = this.#free - count
    // As if the last of them were asked for by itself.
    if (free < 0 || !hasShare(own + count - 1, free + 1)) return false
    this.#free = free
    this.#taken.set(party, own + count)
    return true
  }

  leave(party: string, count = 1): void {
    this.#free += count
    const own = (this.#taken.get(party) ?? 0) - count
    if (own > 0) this.#taken.set(party, own)
    else this.#taken.delete(party)
  }
}

/** Places that are waited for, the parties in turn. */
export class CallPlaces {
  readonly #places: SharedPlaces
  readonly #waitMs: number
  /** By party, the one first whose turn it is. */
  readonly #waiting = new Map<string, (() => void)[]>()
  #isClosed = false

  /** @param waitMs how long one is waited for at most */
  constructor(total: number, waitMs = WAIT_MS) {
    this.#places = new SharedPlaces(total)
    this.#waitMs = waitMs
  }

  /** @returns what gives the place back, at once or when it was waited for; null: none came free in time */
  enter(party: string): (() => void) | Promise<(() => void) | null> {
    if (this.#isClosed) return () => undefined
    const leave = (): void => {
      this.#places.leave(party)
      this.#startWaiting()
    }
    // Who comes later does not overtake the party's own.
    const queue = this.#waiting.get(party)
    if (queue === undefined && this.#places.take(party)) return leave
    return new Promise((resolve) => {
      const resume = (): void => {
        clearTimeout(timer)
        resolve(this.#isClosed ? () => undefined : leave)
      }
      const timer = setTimeout(() => {
        this.#giveUp(party, resume)
        resolve(null)
      }, this.#waitMs)
      if (queue === undefined) this.#waiting.set(party, [resume])
      else queue.push(resume)
    })
  }

  /** Whoever waits goes on without a place, to find that the process stops. */
  close(): void {
    this.#isClosed = true
    for (const queue of this.#waiting.values()) for (const resume of queue) resume()
    this.#waiting.clear()
  }

  #giveUp(party: string, resume: () => void): void {
    const others = this.#waiting.get(party)?.filter((each) => each !== resume) ?? []
    if (others.length > 0) this.#waiting.set(party, others)
    else this.#waiting.delete(party)
  }

  #startWaiting(): void {
    let isStarted = true
    while (isStarted) {
      isStarted = false
      for (const [party, queue] of [...this.#waiting]) {
        if (!this.#places.take(party)) continue
        this.#waiting.delete(party)
        const resume = queue.shift()
        // Behind all others.
        if (queue.length > 0) this.#waiting.set(party, queue)
        resume?.()
        isStarted = true
      }
    }
  }
}
