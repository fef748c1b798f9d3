import { breakerOpenMs } from './backoff.ts'

/** Failures in a row that open it. */
const THRESHOLD = 5

/**
 * A circuit breaker in memory, for one counterpart of this process: open, it refuses at once instead of making
 * every caller wait for a timeout; when its pause has passed, one call goes through to try.
 */
export class Breaker {
  #failures = 0
  #opens = 0
  #openUntil = 0
  #trying = false

  /** @param now milliseconds of any steady clock. @returns 0 if the call may go, else how long to wait */
  waitMs(now: number): number {
    if (this.#opens === 0) return 0
    if (now < this.#openUntil) return Math.ceil(this.#openUntil - now)
    if (this.#trying) return 1_000
    this.#trying = true
    return 0
  }

  succeeded(): void {
    this.#failures = this.#opens = 0
    this.#trying = false
  }

  failed(now: number): void {
    this.#failures++
    if (!this.#trying && (this.#opens > 0 || this.#failures < THRESHOLD)) return
    this.#trying = false
    this.#opens++
    this.#openUntil = now + breakerOpenMs(this.#opens)
  }
}
