import { clampRetryAfterMs, retryDelayMs } from '#lib/async/backoff.ts'
import type { AttemptResult } from '../destinations/destination.ts'

/**
 * Decides what one attempt means for its delivery. `sender.ts` asks, `repository.ts` writes it down, and when its time has come
 * `lanes/keeper.ts` finds the lane and `due/reader.ts` the delivery again.
 */
export interface Verdict {
  readonly status: 'sent' | 'retry' | 'failed'
  readonly reason: string | null
  /** Until the next attempt; null unless `status` is retry. */
  readonly delayMs: number | null
  /** The receiver asked for patience: nothing more is sent to it for so long. */
  readonly holdMs: number
  /** The receiver wants no more, ever. */
  readonly gone: boolean
}

/** One Retry-After may hold back a plugin's other deliveries for so long. */
const HOLD_MAX_MS = 60_000

/**
 * | outcome                    | delivery                                      | plugin                      |
 * | -------------------------- | --------------------------------------------- | --------------------------- |
 * | ok                         | sent                                          |                             |
 * | gone                       | failed, `gone`                                | disabled                    |
 * | later                      | next attempt not before that (at most 1 h)    | held for it (at most 60 s)  |
 * | failed                     | next delay of the schedule, ±20 %             | counts for the breaker      |
 * | … and no delay is left     | failed, `exhausted`; replayable               |                             |
 *
 * @param schedule seconds after each failed attempt
 * @param failures failed attempts since the delivery was last queued, this one included if it failed
 */
export function judge(
  result: Pick<AttemptResult, 'outcome' | 'retryAfterMs'>,
  schedule: readonly number[],
  failures: number,
): Verdict {
  if (result.outcome === 'ok') return SENT
  if (result.outcome === 'gone') return GONE
  const retryAfterMs = result.retryAfterMs === null ? 0 : clampRetryAfterMs(result.retryAfterMs)
  const holdMs = Math.min(retryAfterMs, HOLD_MAX_MS)
  const delayMs = retryDelayMs(schedule, failures)
  if (delayMs === null) return { status: 'failed', reason: 'exhausted', delayMs: null, holdMs, gone: false }
  return { status: 'retry', reason: null, delayMs: Math.max(delayMs, retryAfterMs), holdMs, gone: false }
}

const SENT: Verdict = { status: 'sent', reason: null, delayMs: null, holdMs: 0, gone: false }
const GONE: Verdict = { status: 'failed', reason: 'gone', delayMs: null, holdMs: 0, gone: true }
