/**
 * Keeps the last `capacity` items, and takes memory as it fills. Adding one costs the same however many are kept: a Map
 * whose oldest entry is deleted again and again has to walk over what was deleted before (30 % of intake's CPU).
 */
export class LastItems<T> {
  readonly #capacity: number
  #items: T[] = []
  /** Where the next one goes once all places are taken: the place of the oldest. */
  #oldest = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  add(item: T): void {
    if (this.#items.length < this.#capacity) {
      this.#items.push(item)
      return
    }
    this.#items[this.#oldest] = item
    this.#oldest = (this.#oldest + 1) % this.#capacity
  }

  /** Returns them, the oldest first. */
  list(): T[] {
    return [...this.#items.slice(this.#oldest), ...this.#items.slice(0, this.#oldest)]
  }

  /** Forgets those that `isKept` answers false for. */
  filter(isKept: (item: T) => boolean): void {
    this.#items = this.list().filter((item) => isKept(item))
    this.#oldest = 0
  }
}
