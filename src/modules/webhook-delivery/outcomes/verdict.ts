import { clampRetryAfterMs, retryDelayMs } from '#lib/async/backoff.ts'
import type { EgressResponse } from '#infra/egress/index.ts'

/** What one attempt means for its delivery. */
export interface Verdict {
  status: 'sent' | 'retry' | 'failed'
  reason: string | null
  /** Until the next attempt; null unless `status` is retry. */
  delayMs: number | null
  /** The receiver asked for patience: nothing more is sent to it for so long. */
  holdMs: number
  /** 410: the receiver wants no more webhooks, ever. */
  gone: boolean
}

/** How long one Retry-After may hold back a plugin's other deliveries. */
const HOLD_MAX_MS = 60_000

/**
 * Only 2xx succeeds.
 *
 * | answer                     | delivery                                      | plugin                      |
 * | -------------------------- | --------------------------------------------- | --------------------------- |
 * | 2xx                        | sent                                          |                             |
 * | 410                        | failed, `gone`                                | disabled                    |
 * | 429, 503 with Retry-After  | next attempt not before that (at most 1 h)    | held for it (at most 60 s)  |
 * | anything else, no answer   | next delay of the schedule, ±20 %             | counts for the breaker      |
 * | … and no delay is left     | failed, `exhausted`; replayable               |                             |
 *
 * @param schedule seconds after each failed attempt
 * @param failures failed attempts since the delivery was last queued, this one included if it failed
 */
export function judge(
  response: Pick<EgressResponse, 'ok' | 'status' | 'retryAfterMs'>,
  schedule: readonly number[],
  failures: number,
): Verdict {
  if (response.ok) return { status: 'sent', reason: null, delayMs: null, holdMs: 0, gone: false }
  if (response.status === 410) {
    return { status: 'failed', reason: 'gone', delayMs: null, holdMs: 0, gone: true }
  }
  const asksPatience = response.status === 429 || response.status === 503
  const retryAfterMs =
    asksPatience && response.retryAfterMs !== null ? clampRetryAfterMs(response.retryAfterMs) : 0
  const holdMs = Math.min(retryAfterMs, HOLD_MAX_MS)
  const delayMs = retryDelayMs(schedule, failures)
  if (delayMs === null) return { status: 'failed', reason: 'exhausted', delayMs: null, holdMs, gone: false }
  return { status: 'retry', reason: null, delayMs: Math.max(delayMs, retryAfterMs), holdMs, gone: false }
}
