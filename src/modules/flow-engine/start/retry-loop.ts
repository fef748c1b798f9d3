import { findDefinition } from '#lib/flow/steps/index.ts'
import { END, type CanonicalFlow, type StepId } from '#lib/flow/types.ts'
import { targetOf } from '../run/program.ts'
import { type ExecutionState, initialState, type LoopState, type Thread } from '../run/state.ts'

/** A step of a loop's body that was left by a port, for one item. */
export interface DoneItemStep {
  step_id: StepId
  iteration: string
  port: string
}

/** Returns the loop in which an execution ended; null: it was in none. */
export function endedIn({ main, loop, interrupted }: ExecutionState): LoopState | null {
  const ended = loop ?? interrupted ?? null
  return ended !== null && (main.step === ended.step || loop === null) ? ended : null
}

/** Tells a loop with which the version can go on where it stands. */
export function isResumable(flow: CanonicalFlow, loop: LoopState): boolean {
  const step = Object.hasOwn(flow.steps, loop.step) ? flow.steps[loop.step] : undefined
  if (step === undefined || !findDefinition(step.type)?.body || !('done' in step.next)) return false
  const isKnown = ({ step: at }: Thread): boolean => at === END || flow.steps[at]?.loop === loop.step
  return loop.threads.every(isKnown)
}

/**
 * Says where a retry of a loop begins: with the items that were under way, each behind what it had done, and those that
 * had not begun. What went on in other items while one failed stands in the log, and not in the state.
 *
 * @param variables of the main thread
 */
export function resumedLoop(
  flow: CanonicalFlow,
  loop: LoopState,
  done: readonly DoneItemStep[],
  variables: Record<string, unknown>,
): ExecutionState {
  const ports = new Map(done.map(({ step_id, iteration, port }) => [`${iteration} ${step_id}`, port]))
  const threads = loop.threads.map((thread) => {
    const step = behindDone(flow, thread, ports)
    const isDelayed = thread.waiting === 'delay' && step === thread.step
    return {
      iteration: thread.iteration,
      step,
      waiting: isDelayed ? thread.waiting : null,
      due_at: isDelayed ? thread.due_at : null,
      failures: 0,
      since: null,
      variables: thread.variables,
      ...(thread.failed !== undefined && { failed: thread.failed }),
      ...(thread.caught != null && { caught: thread.caught }),
    }
  })
  const state = initialState(loop.step, variables)
  return { ...state, main: { ...state.main, waiting: 'loop' }, loop: { ...loop, threads } }
}

/** Follows an item's steps behind those that are done. They do not lead back to themselves, so that this ends. */
function behindDone(
  flow: CanonicalFlow,
  { iteration, step }: Thread,
  ports: ReadonlyMap<string, string>,
): string {
  let at = step
  for (
    let port = ports.get(`${iteration} ${at}`);
    port !== undefined;
    port = ports.get(`${iteration} ${at}`)
  ) {
    const canonical = flow.steps[at]
    if (canonical === undefined) break
    at = targetOf(canonical, port)
  }
  return at
}
