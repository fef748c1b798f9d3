import { DEFAULT_PATIENCE_MS } from '#lib/flow/retry.ts'
import type { CanonicalStep, StepBase } from '#lib/flow/types.ts'
import { END } from '#lib/flow/types.ts'
import { noteAttempt } from '../run/attempts.ts'
import type { Frame, Position } from '../run/frame.ts'
import { suspend } from '../run/state.ts'
import type { Call, CallRequest, CallResult } from './call.ts'
import { AWAY_MAX_MS, holdBack, meetsOutage, patienceFrom } from './hold-back.ts'
import { retryPauseMs } from './retry.ts'
import type { StepRunner } from './runner.ts'

/** An accepted action is looked after at first, and then after a tenth of the time that it has taken so far. */
const COMPLETION_LOOK_MS = 2_000
const COMPLETION_LOOK_MAX_MS = 60_000

/** The steps that may be left by `success`: those of the types that call others. */
type CallingStep<Step = CanonicalStep> =
  Step extends StepBase<string, object, infer Port>
    ? 'success' extends Port
      ? string extends Port
        ? never
        : Step
      : never
    : never

/** Fills a call in, and asks nobody. @throws {StepError} */
type FillIn<Step> = (request: CallRequest<Step>) => Call

/** Says from when on a step may call, in epoch milliseconds; null: at any time. @throws {StepError} if it never may */
type OpensAt<Step extends CanonicalStep> = (frame: Frame, at: Position<Step>) => number | null

/**
 * Returns the runner of steps that call others, each by the call that is filled in for it.
 * @param opensAt of a type that may not call at any time; it waits before anything is written or sent
 */
export function callRunner<Step extends CallingStep>(
  fillIn: FillIn<Step>,
  opensAt: OpensAt<Step> = () => null,
): StepRunner<Step> {
  return { run: (frame, at) => runCall(frame, at, fillIn, opensAt) }
}

/**
 * Makes a step's call, or looks after one that was accepted. What was done before the call is durable or comes out the
 * same again, and a boundary follows it: only the call under way when the process dies may repeat. @throws {StepError}
 */
async function runCall<Step extends CallingStep>(
  frame: Frame,
  at: Position<Step>,
  fillIn: FillIn<Step>,
  opensAt: OpensAt<Step>,
): Promise<void> {
  const { thread, stepId, step } = at
  const { claim, journal, state } = frame
  const name = { tenantId: claim.tenant_id, executionId: claim.id, stepId, iteration: thread.iteration }
  const asOf = new Date(thread.since ?? claim.created_at_ms)
  const call = fillIn({ program: frame.program, step, name, scope: frame.scopeOf(thread), asOf })
  // Items of a loop go on by themselves, as the loop is one place in the order.
  const target = state.loop === null && (step.retry?.patience_ms ?? 0) > 0 ? call.target : null
  let result: CallResult | null
  let isAway = false
  /** Null: the call was made before. */
  let sentAt: number | null = null
  if (thread.waiting === 'completion') result = await frame.calls.completed(call)
  else {
    const opening = opensAt(frame, at)
    const askedAt = frame.clock()
    if (opening !== null && opening > askedAt) {
      // Whoever waits behind it, and may call at this hour, does not wait for the opening.
      if (thread.held_by !== undefined) await frame.held.left(claim, thread.held_by)
      claim.held_by = null
      delete thread.held_by
      delete thread.behind
      thread.open_since = opening - Math.max(0, askedAt - patienceFrom(frame, thread))
      suspend(thread, 'hours', opening)
      return
    }
    if (target !== null && (await holdBack(frame, at, target))) return
    delete thread.held_by
    delete thread.behind
    thread.waiting = thread.due_at = null
    await journal.beforeCall()
    if (!frame.isCurrent(thread)) return
    const mayHaveRun = thread.failures > 0 || claim.was_running || state.cut_off === true
    sentAt = frame.clock()
    result = await frame.calls.send(call, claim.causation_depth, mayHaveRun)
    isAway = target !== null && meetsOutage(frame, result, target)
    if (target !== null && !isAway) {
      await frame.held.passed(claim, target)
      claim.held_by = null
    }
  }
  const { input } = call
  const now = frame.clock()
  const elapsedMs = now - patienceFrom(frame, thread)
  const attempt = {
    number: thread.failures + 1,
    ended_at: now,
    duration_ms: sentAt === null ? null : Math.max(0, now - sentAt),
  }
  if (result === null || result.kind === 'accepted') {
    const look = Math.max(COMPLETION_LOOK_MS, elapsedMs / 10)
    suspend(thread, 'completion', now + Math.min(look, COMPLETION_LOOK_MAX_MS))
  } else if (result.kind === 'success') {
    if (thread.failures > 0) noteAttempt(thread, { ...attempt, error: null, next_at: null })
    // Its boundary keeps this moment: what follows starts now, also after the very first call.
    frame.leave(at, { port: 'success', input, output: result.output }, now)
    // The last boundary follows at once.
    if (thread === state.main && thread.step === END) return
    return journal.boundary()
  } else if (result.kind === 'busy') {
    // Waiting for its turn is no attempt, nor is it what a step without retries has ruled out.
    const patienceMs = step.retry?.patience_ms || DEFAULT_PATIENCE_MS
    if (elapsedMs >= patienceMs) return frame.fail(at, { ...result, transient: true }, input)
    // Those that nobody releases come again ever more rarely.
    const pause = Math.max(result.retryAfterMs, elapsedMs / 10)
    suspend(thread, 'retry', now + Math.min(pause, AWAY_MAX_MS))
    if (target !== null) {
      thread.held_by = target
      frame.held.away(claim, target)
    }
  } else {
    thread.failures++
    const pause = retryPauseMs(step.retry, thread.failures, result, elapsedMs)
    const { code, message } = result
    if (pause === null) {
      if (thread.failures > 1) noteAttempt(thread, { ...attempt, error: { code, message }, next_at: null })
      return frame.fail(at, result, input)
    }
    const isOwn = isAway && result.retryAfterMs === null
    suspend(thread, 'retry', now + (isOwn ? Math.min(pause, AWAY_MAX_MS) : pause))
    noteAttempt(thread, { ...attempt, error: { code, message }, next_at: thread.due_at })
    if (isAway && target !== null) {
      thread.held_by = target
      frame.held.away(claim, target)
    }
  }
  // Other threads may go on for long before the execution pauses.
  if (state.loop !== null) await journal.boundary()
}
