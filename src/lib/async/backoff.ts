/** Each delay is spread over ±20 %, so that deliveries that failed together do not come back together. */
const JITTER = 0.2

/** The longest `Retry-After` that is honoured: one hour. A plugin that says "in a year" would else be forgotten. */
const MAX_RETRY_AFTER_MS = 3_600_000

/** First pause of an open circuit breaker; each further opening doubles it. */
export const BREAKER_BASE_MS = 5_000
/** Longest pause of a circuit breaker: the delay with which we may notice that a plugin is back. */
const BREAKER_MAX_MS = 300_000

/**
 * Returns how long to wait after the n-th failed attempt (n ≥ 1), or null when the schedule is exhausted.
 *
 * | failed attempts | default schedule | waits         |
 * | --------------- | ---------------- | ------------- |
 * | 1               | 30 s             | 24 s – 36 s   |
 * | 2               | 5 min            | 4 – 6 min     |
 * | 3               | 1 h              | 48 – 72 min   |
 * | 4               | –                | null: failed  |
 */
export function retryDelayMs(
  schedule: readonly number[],
  failedAttempts: number,
  random: () => number = Math.random,
): number | null {
  if (!Number.isInteger(failedAttempts) || failedAttempts < 1) {
    throw new RangeError(`failedAttempts is ${failedAttempts}: the first failure is 1`)
  }
  const seconds = schedule[failedAttempts - 1]
  if (seconds === undefined) return null
  return Math.round(seconds * 1000 * (1 - JITTER + 2 * JITTER * random()))
}

/** A receiver's `Retry-After` within 0 … 1 h; anything but a number counts as 0. */
export function clampRetryAfterMs(ms: number): number {
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS)
}

/** Returns how long a breaker stays open at its n-th opening in a row: 5 s, 10 s, 20 s … 5 min. */
export function breakerOpenMs(opens: number): number {
  return Math.min(BREAKER_BASE_MS * 2 ** Math.max(opens - 1, 0), BREAKER_MAX_MS)
}
