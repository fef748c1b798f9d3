import { plannedPauseMs } from '#lib/flow/retry.ts'
import type { RetryPolicy } from '#lib/flow/types.ts'

const JITTER = 0.2

/**
 * Returns how long to wait before the next attempt, or null: no more. Retried is what may pass by itself: no answer, 408,
 * 425, 429, 5xx and a plugin that is paused, so often as the policy says at least, and until its patience is over. A
 * `Retry-After` wins over the policy's pause, up to its cap.
 *
 * | failures | pause (base 1 s) |
 * | -------- | ---------------- |
 * | 1        | 1 s ±20 %        |
 * | 2        | 2 s ±20 %        |
 * | 3        | 4 s ±20 %        |
 *
 * @param elapsedMs since the execution came to the step
 */
export function retryPauseMs(
  policy: RetryPolicy | null,
  failures: number,
  failure: { transient: boolean; retryAfterMs: number | null },
  elapsedMs = Infinity,
  random: () => number = Math.random,
): number | null {
  if (policy === null || !failure.transient) return null
  if (failures > policy.max_retries && elapsedMs >= (policy.patience_ms ?? 0)) return null
  if (failure.retryAfterMs !== null) return Math.min(failure.retryAfterMs, policy.cap_ms)
  return Math.round(plannedPauseMs(policy, failures, 1 - JITTER + 2 * JITTER * random()))
}
