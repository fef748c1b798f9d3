/** The delay with which a deadline may be noticed. One sweep for all is cheaper than a timer for each request. */
const SWEEP_MS = 50

export interface Expiring {
  /** On `performance.now()`'s scale. */
  readonly deadline: number
  expire(): void
}

/** Watches deadlines with one timer that runs only while there is something to watch. */
export class Deadlines<T extends Expiring> {
  readonly #watched = new Set<T>()
  #timer: NodeJS.Timeout | null = null

  add(item: T): void {
    this.#watched.add(item)
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS)
  }

  delete(item: T): void {
    this.#watched.delete(item)
  }

  get all(): readonly T[] {
    return [...this.#watched]
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #sweep(): void {
    const now = performance.now()
    for (const item of this.#watched) {
      if (item.deadline <= now) item.expire()
    }
    if (this.#watched.size === 0) this.stop()
  }
}
