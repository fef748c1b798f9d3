export interface BatcherOptions<Item, Result> {
  /** Items that one flush takes. */
  max: number
  /** Flushes under way at once. */
  concurrency: number
  /** One result for each item, in order; a rejection is every item's. */
  flush: (items: readonly Item[]) => Promise<readonly Result[]>
  /**
   * Tells whether a rejection may be the fault of one item alone. `flush` is then called again for halves of the
   * batch, until the item fails alone and the others are not spoiled by it. Left out: never.
   */
  mayLieInOne?: (error: unknown) => boolean
}

interface Waiting<Item, Result> {
  item: Item
  resolve: (result: Result) => void
  reject: (error: unknown) => void
}

/**
 * Gathers many callers' items for one statement. No item waits for others: one that finds a free slot leaves with the
 * event loop's current turn, and items that arrive while flushes are under way travel together.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>
  readonly #waiting: Waiting<Item, Result>[] = []
  #flushes = 0
  #scheduled = false

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#flushes >= this.#options.concurrency) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#flush(this.#waiting.splice(0, this.#options.max))
      this.#schedule()
    })
  }

  async #flush(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    this.#flushes++
    await this.#settle(batch)
    this.#flushes--
    this.#schedule()
  }

  async #settle(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.flush(batch.map(({ item }) => item))
      if (results.length !== batch.length)
        throw new Error(`${results.length} results for ${batch.length} items`)
      batch.forEach(({ resolve }, index) => resolve(results[index] as Result))
    } catch (error) {
      if (batch.length > 1 && this.#options.mayLieInOne?.(error) === true) {
        const middle = Math.ceil(batch.length / 2)
        await this.#settle(batch.slice(0, middle))
        await this.#settle(batch.slice(middle))
      } else {
        for (const { reject } of batch) reject(error)
      }
    }
  }
}
