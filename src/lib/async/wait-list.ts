/** An item that waits in a list: its neighbours there, which the list alone sets. */
export interface Waiting<T> {
  before: T | null
  after: T | null
}

/**
 * Keeps those that wait in the order in which they came. Each may give up at any time: that costs as little as to come or
 * to be taken, however many wait. Something waits in one list at a time.
 */
export class WaitList<T extends Waiting<T>> {
  #first: T | null = null
  #last: T | null = null

  /** The one that came first; null: none waits. */
  get first(): T | null {
    return this.#first
  }

  add(item: T): void {
    item.before = this.#last
    if (this.#last === null) this.#first = item
    else this.#last.after = item
    this.#last = item
  }

  /** @param item one that waits here */
  remove(item: T): void {
    const { before, after } = item
    if (before === null) this.#first = after
    else before.after = after
    if (after === null) this.#last = before
    else after.before = before
    item.before = null
    item.after = null
  }
}
