import { callOf } from './outgoing.ts'
import type { CallResult, CallStep } from './types.ts'
import type { Frame, Position } from '../run/frame.ts'
import { retryPauseMs } from './retry.ts'
import { suspend } from '../run/state.ts'

/** An accepted action is looked after at first, and then after a tenth of the time that it has taken so far. */
const COMPLETION_LOOK_MS = 2_000
const COMPLETION_LOOK_MAX_MS = 60_000

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
  let result: CallResult | null
  if (thread.waiting === 'completion') result = await frame.calls.completed(call)
  else {
    thread.waiting = thread.due_at = null
    await journal.beforeCall()
    if (!frame.isCurrent(thread)) return
    const mayHaveRun = thread.failures > 0 || claim.was_running || state.cut_off === true
    result = await frame.calls.send(call, claim.causation_depth, mayHaveRun)
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
    const pause = retryPauseMs(step.retry, thread.failures, result)
    if (pause === null) return frame.fail(at, result, input)
    suspend(thread, 'retry', now + pause)
  }
  // Other lines may go on for long before the execution pauses.
  if (state.loop !== null) await journal.boundary()
}
