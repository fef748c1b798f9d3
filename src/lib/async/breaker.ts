import { breakerOpenMs } from './backoff.ts'

/** Failures in a row that open it. */
const THRESHOLD = 5
/** The time after which callers ask again that are refused because another call is a trial. */
const TRIAL_WAIT_MS = 1_000
/** A trial that never said how it ended stands in nobody's way for longer; no call takes so long. */
const TRIAL_MAX_MS = 120_000

/** The counterpart's health, as a call shows it. `unknown`: the call shows nothing. */
export type Health = 'up' | 'down' | 'unknown'

/** Leave for one call, which has to say how it ended. */
export interface Pass {
  readonly trial: boolean
}

/**
 * A circuit breaker in memory, for one counterpart of this process: open, it refuses at once instead of making
 * every caller wait for a timeout; when its pause has passed, one call goes through to try.
 */
export class Breaker {
  #failures = 0
  #opens = 0
  #openUntil = 0
  #trialUntil = 0

  /** @param now milliseconds of any steady clock. @returns a pass, or for how many milliseconds there is none */
  enter(now: number): Pass | number {
    if (this.#opens === 0) return { trial: false }
    if (now < this.#openUntil) return Math.ceil(this.#openUntil - now)
    if (now < this.#trialUntil) return TRIAL_WAIT_MS
    this.#trialUntil = now + TRIAL_MAX_MS
    return { trial: true }
  }

  left({ trial }: Pass, health: Health, now: number): void {
    if (trial) this.#trialUntil = 0
    if (health === 'up') this.#failures = this.#opens = 0
    if (health === 'down') this.#fail(trial, now)
  }

  /** Calls that had begun before it opened say nothing new. */
  #fail(trial: boolean, now: number): void {
    this.#failures++
    if (!trial && (this.#opens > 0 || this.#failures < THRESHOLD)) return
    this.#opens++
    this.#openUntil = now + breakerOpenMs(this.#opens)
  }
}
