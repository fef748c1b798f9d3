import type { RetryPolicy } from './elements.ts'

/** An outage of the other side is outlasted, as deliveries do: nobody has to start again what it met. */
export const DEFAULT_PATIENCE_MS = 12 * 3_600_000
export const DEFAULT_RETRY = {
  max_retries: 3,
  patience_ms: DEFAULT_PATIENCE_MS,
  base_ms: 1000,
  cap_ms: 900_000,
} as const satisfies RetryPolicy
export const MAX_RETRIES = 20
const FACTOR = 2

/** Returns how long a policy waits after so many failures; `jitter` stretches it or makes it shorter. */
export function plannedPauseMs(policy: RetryPolicy, failures: number, jitter = 1): number {
  return Math.min(policy.base_ms * FACTOR ** (failures - 1) * jitter, policy.cap_ms)
}
