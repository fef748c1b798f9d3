import type { Frame, Position } from '../run/frame.ts'
import { suspend, type Thread } from '../run/state.ts'
import type { CallResult } from './call.ts'

/** Only the first of those who wait for one other side tries again: that it is back is noticed within this time. */
export const AWAY_MAX_MS = 60_000
/** Those behind it look by themselves at first and then ever more rarely, whatever has become of it. */
const HELD_LOOK_MS = 60_000
const HELD_LOOK_MAX_MS = 5 * 60_000

/** Answers of those who are busy or down, whatever they are asked. A 500 may be about one request alone. */
const AWAY_STATUS = new Set([429, 502, 503, 504])
const AWAY_CODES = new Set([
  'breaker_open',
  'plugin_inactive',
  'connect_refused',
  'connect_timeout',
  'dns_error',
  'tls_error',
])

/**
 * Tells an answer, or none, of an other side that is away.
 * @param code only without an answer: an answer's may be the other side's own
 */
export function isAwayAnswer(status: number | null, code: string): boolean {
  return status === null ? AWAY_CODES.has(code) : AWAY_STATUS.has(status)
}

/** Says from when on a call's patience counts, in epoch milliseconds: the hours that held it back use up none of it. */
export function patienceFrom({ claim }: Frame, { open_since, since }: Thread): number {
  return open_since ?? since ?? claim.created_at_ms
}

/**
 * Suspends a thread whose call has to wait behind others that wait for the same other side. Its turn comes when they get
 * through, and at the latest when its patience is over.
 * @returns false: none do, and it may call
 */
export async function holdBack(frame: Frame, { thread, step }: Position, target: string): Promise<boolean> {
  const { claim, clock, held } = frame
  const from = patienceFrom(frame, thread)
  const patienceEnds = from + (step.retry?.patience_ms ?? 0)
  const isReleased = thread.waiting === 'retry' && claim.held_by === null
  const now = clock()
  if (isReleased || now >= patienceEnds || (await held.mayCall(claim, target, now))) return false
  const look = Math.max(HELD_LOOK_MS, (now - from) / 2)
  suspend(thread, 'retry', Math.min(now + Math.min(look, HELD_LOOK_MAX_MS), patienceEnds))
  thread.held_by = target
  thread.behind = true
  return true
}

/**
 * Tells a failure that is the other side's from one of this call. No answer, or a 500, may have its reason in the request: it is the
 * other side's if an outage goes on, or if several executions meet it one after the other.
 */
export function meetsOutage({ claim, held }: Frame, result: CallResult, target: string): boolean {
  if (result.kind === 'busy') return true
  if (result.kind !== 'failure' || !result.transient) {
    held.answered(claim, target)
    return false
  }
  const isRepeated = held.failed(claim, target)
  return result.away || isRepeated || (claim.held_by === target && !result.answered)
}
