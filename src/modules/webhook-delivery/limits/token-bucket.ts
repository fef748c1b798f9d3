/** A rate limit may use up this much of a second at once. */
const BURST_SECONDS = 0.1

/** Counts what a rate limit allows: tokens that come back with time. Times are milliseconds of `clock`. */
export class TokenBucket {
  readonly #clock: () => number
  #rate: number | null
  #tokens: number
  #at: number

  /** @param rate tokens a second; null: there is no limit */
  constructor(rate: number | null, clock: () => number) {
    this.#clock = clock
    this.#rate = rate
    this.#tokens = this.#burst
    this.#at = clock()
  }

  get rate(): number | null {
    return this.#rate
  }

  /** Counts the tokens that have come back so far at the rate before. */
  set rate(rate: number | null) {
    this.#refill()
    this.#rate = rate
  }

  /** The tokens at the moment, fewer than none where some were taken ahead; null: there is no limit. */
  get left(): number | null {
    return this.#rate === null ? null : this.#refill()
  }

  get isFull(): boolean {
    return this.#rate === null || this.#refill() >= this.#burst
  }

  /** Returns the milliseconds until `count` tokens are there; 0: they are. */
  waitMs(count = 1): number {
    if (this.#rate === null) return 0
    const missing = count - this.#refill()
    return missing <= 0 ? 0 : Math.max(1, Math.ceil((missing / this.#rate) * 1_000))
  }

  /** Takes a token, whether or not there is one: then the next ones wait for longer. */
  take(): void {
    if (this.#rate !== null) this.#tokens = this.#refill() - 1
  }

  /** Takes over what is left of it elsewhere, if that is less. @param ageMs how long ago it was so many */
  restore(tokens: number, ageMs: number): void {
    if (this.#rate === null) return
    this.#tokens = Math.min(this.#refill(), tokens + (ageMs / 1_000) * this.#rate)
  }

  get #burst(): number {
    return Math.max(1, (this.#rate ?? 0) * BURST_SECONDS)
  }

  #refill(): number {
    const now = this.#clock()
    if (this.#rate !== null) {
      const back = ((now - this.#at) / 1_000) * this.#rate
      this.#tokens = Math.min(this.#burst, this.#tokens + back)
    }
    this.#at = now
    return this.#tokens
  }
}
