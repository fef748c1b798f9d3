import { now } from '#lib/clock.ts'
import type { Attempt } from '../destinations/attempt.ts'
import type { Job, Lane } from '../lanes/lane.ts'
import type { Outcome } from './repository.ts'
import type { Verdict } from './verdict.ts'

/** What an attempt leaves to be written. */
export function outcomeOf(lane: Lane, job: Job, result: Attempt, verdict: Verdict): Outcome {
  return {
    ...placeOf(lane, job),
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
    ...placeOf(lane, job),
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

function placeOf(lane: Lane, job: Job): Pick<Outcome, 'hold' | 'deliveryId' | 'previousAttempts'> {
  return {
    hold: lane.hold,
    deliveryId: job.deliveryId,
    previousAttempts: job.attemptCount,
  }
}
