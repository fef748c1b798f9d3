import { callOf } from './outgoing.ts'
import type { CallResult, CallStep } from './types.ts'
import type { Frame, Position } from '../run/frame.ts'
import { retryPauseMs } from './retry.ts'
import { nextOpening } from '#lib/calendar.ts'
import { StepError } from '../run/evaluate.ts'
import { suspend } from '../run/state.ts'

/** An accepted action is looked after at first, and then after a tenth of the time that it has taken so far. */
const COMPLETION_LOOK_MS = 2_000
const COMPLETION_LOOK_MAX_MS = 60_000

/** Only the first of those who wait for one other side tries again: that it is back is noticed within this time. */
const AWAY_MAX_MS = 60_000
/** Those behind it look by themselves at first and then ever more rarely, whatever has become of it. */
const HELD_LOOK_MS = 60_000
const HELD_LOOK_MAX_MS = 5 * 60_000

/**
 * A step that asks others. What was done before the call is durable or comes out the same again, and a boundary follows
 * it: only the call under way when the process dies may repeat. @throws {StepError}
 */
export async function doCall(frame: Frame, at: Position<CallStep>): Promise<void> {
  const { thread, stepId, step } = at
  const { claim, journal, state } = frame
  const name = { tenantId: claim.tenant_id, executionId: claim.id, stepId, iteration: thread.iteration }
  const asOf = new Date(thread.since ?? claim.created_at_ms)
  const call = callOf(frame.program, step, name, frame.scopeOf(thread), asOf)
  // Items of a loop go on by themselves, as the loop is one place in the order.
  const target = state.loop === null && (step.retry?.patience_ms ?? 0) > 0 ? call.target : null
  let result: CallResult | null
  if (thread.waiting === 'completion') result = await frame.calls.completed(call)
  else {
    if (isOutOfHours(frame, at)) return
    if (target !== null && (await isHeldBack(frame, at, target, asOf))) return
    delete thread.held_by
    thread.waiting = thread.due_at = null
    await journal.beforeCall()
    if (!frame.isCurrent(thread)) return
    const mayHaveRun = thread.failures > 0 || claim.was_running || state.cut_off === true
    result = await frame.calls.send(call, claim.causation_depth, mayHaveRun)
    if (target !== null && !isAway(result, claim.held_by === target)) {
      await frame.held.passed(claim, target)
      claim.held_by = null
    }
  }
  const { input } = call
  const now = frame.clock()
  if (result === null || result.kind === 'accepted') {
    const look = Math.max(COMPLETION_LOOK_MS, (now - asOf.getTime()) / 10)
    suspend(thread, 'completion', now + Math.min(look, COMPLETION_LOOK_MAX_MS))
  } else if (result.kind === 'success') {
    // Its boundary keeps this moment: what follows starts now, also after the very first call.
    frame.leave(at, { port: 'success', input, output: result.output }, now)
    // The last boundary follows at once.
    if (thread === state.main && thread.step === 'end') return
    return journal.boundary()
  } else {
    thread.failures++
    const pause = retryPauseMs(step.retry, thread.failures, result, now - asOf.getTime())
    if (pause === null) return frame.fail(at, result, input)
    const isHeld = target !== null && isAway(result, claim.held_by === target)
    const isOwn = isHeld && result.retryAfterMs === null
    suspend(thread, 'retry', now + (isOwn ? Math.min(pause, AWAY_MAX_MS) : pause))
    if (isHeld) {
      thread.held_by = target
      frame.held.away(claim, target)
    }
  }
  // Other lines may go on for long before the execution pauses.
  if (state.loop !== null) await journal.boundary()
}

/**
 * Whether it is a message that may not be sent now: then the line waits until it may. Nothing has been written of it yet.
 * @throws {StepError} if it may never be sent
 */
function isOutOfHours({ program, scope, clock }: Frame, { thread, step }: Position<CallStep>): boolean {
  if (step.type !== 'message') return false
  const { send_window: window = null } = program.flow.settings
  const quiet = step.config.respect_quiet_hours === true
  if (window === null && !quiet) return false
  const now = clock()
  const opensAt = nextOpening(now, scope.calendar, { window, quiet })
  if (opensAt === null) {
    throw new StepError('send_window_closed', 'No time of the send window lies outside of the quiet hours.')
  }
  if (opensAt <= now) return false
  suspend(thread, 'hours', opensAt)
  return true
}

/**
 * Whether others wait already for the same call's other side: then this line waits behind them, and has not called. Its
 * turn comes when they get through, and at the latest when its patience is over.
 */
async function isHeldBack(
  { claim, clock, held }: Frame,
  { thread, step }: Position<CallStep>,
  target: string,
  asOf: Date,
): Promise<boolean> {
  const patienceEnds = asOf.getTime() + (step.retry?.patience_ms ?? 0)
  const isReleased = thread.waiting === 'retry' && claim.held_by === null
  const now = clock()
  if (isReleased || now >= patienceEnds || (await held.mayCall(claim, target, now))) return false
  const look = Math.max(HELD_LOOK_MS, (now - asOf.getTime()) / 2)
  suspend(thread, 'retry', Math.min(now + Math.min(look, HELD_LOOK_MAX_MS), patienceEnds))
  thread.held_by = target
  return true
}

/** @param wasAway no answer may have its reason in the request; after an outage it is taken for its going on */
function isAway(result: CallResult, wasAway: boolean): boolean {
  if (result.kind !== 'failure' || !result.transient) return false
  return result.away || (wasAway && !result.answered)
}
