import type { RetryPolicy } from '#lib/flow/types.ts'

const FACTOR = 2
const JITTER = 0.2

/**
 * How long to wait before the next attempt, or null: no more. Retried is what may pass by itself: no answer, 408,
 * 425, 429 and 5xx. A `Retry-After` wins over the policy's pause, up to its cap.
 *
 * | failures | pause (base 1 s) |
 * | -------- | ---------------- |
 * | 1        | 1 s ±20 %        |
 * | 2        | 2 s ±20 %        |
 * | 3        | 4 s ±20 %        |
 */
export function retryPauseMs(
  policy: RetryPolicy | null,
  failures: number,
  failure: { transient: boolean; retryAfterMs: number | null },
  random: () => number = Math.random,
): number | null {
  if (policy === null || !failure.transient || failures > policy.max_retries) return null
  if (failure.retryAfterMs !== null) return Math.min(failure.retryAfterMs, policy.cap_ms)
  const pause = policy.base_ms * FACTOR ** (failures - 1) * (1 - JITTER + 2 * JITTER * random())
  return Math.round(Math.min(pause, policy.cap_ms))
}
