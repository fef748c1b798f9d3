import { hasShare } from './share.ts'

/** Places of one process, shared out by party: alone a party may take four fifths of them. */
export class SharedPlaces {
  #free: number
  readonly #taken = new Map<string, number>()

  constructor(total: number) {
    this.#free = total
  }

  /** Tells whether nobody has any of them. */
  get isIdle(): boolean {
    return this.#taken.size === 0
  }

  /** Tells whether the party has any of them. */
  has(party: string): boolean {
    return this.#taken.has(party)
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

  /** Returns whether the party may take one more; with fewer than `always` it may, whatever others have taken. */
  hasRoom(party: string, always: number): boolean {
    const own = this.#taken.get(party) ?? 0
    return own < always || hasShare(own, this.#free)
  }

  /** Takes places whether or not the party has a share of so many: what is there already is counted. */
  add(party: string, count: number): void {
    this.#free -= count
    this.#taken.set(party, (this.#taken.get(party) ?? 0) + count)
  }

  leave(party: string, count = 1): void {
    this.#free += count
    const own = (this.#taken.get(party) ?? 0) - count
    if (own > 0) this.#taken.set(party, own)
    else this.#taken.delete(party)
  }
}
