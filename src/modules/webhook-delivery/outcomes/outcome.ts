import { now } from '#lib/clock.ts'
import type { AttemptResult } from '../destinations/destination.ts'
import type { Job } from '../lanes/backlog.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Outcome } from './repository.ts'
import type { Verdict } from './verdict.ts'

/** Returns what an attempt leaves to be written. */
export function outcomeOf(lane: Lane, job: Job, result: AttemptResult, verdict: Verdict): Outcome {
  return {
    hold: lane.hold,
    deliveryId: job.deliveryId,
    event: job.event,
    previousAttempts: job.attemptCount,
    attempted: true,
    status: verdict.status,
    reason: verdict.reason,
    delayMs: verdict.delayMs,
    startedAtMs: result.startedAtMs,
    durationMs: result.durationMs,
    responseStatus: result.status,
    errorClass: result.errorClass,
    errorDetail: result.errorDetail,
    responseHeaders: JSON.stringify(result.headers),
    responseBody: result.body,
    responseTruncated: result.truncated,
  }
}

/** The end of a delivery whose body has aged out or was erased before it could be sent. */
export function bodyGone(lane: Lane, job: Job): Outcome {
  return {
    hold: lane.hold,
    deliveryId: job.deliveryId,
    event: job.event,
    previousAttempts: job.attemptCount,
    attempted: false,
    status: 'failed',
    reason: 'body_gone',
    delayMs: null,
    startedAtMs: now(),
    durationMs: 0,
    responseStatus: null,
    errorClass: null,
    errorDetail: null,
    responseHeaders: null,
    responseBody: '',
    responseTruncated: false,
  }
}
