import type { StepId, Target } from '../../lib/flow/types.ts'

/**
 * Where an execution stands: one line of steps, and while a `for_each` runs one more for each item under way.
 * What steps gave is not in here but in `automation_steps`, so that a boundary's cost does not grow with the flow.
 */
export interface ExecutionState {
  main: Thread
  loop: LoopState | null
  /** What went wrong, once an error handler has been entered: errors inside of it enter none. */
  error: ExecutionError | null
  /** The last condition was not met: an end that follows is `filtered`. */
  filtered: boolean
}

export interface ExecutionError {
  step_id: string
  code: string
  message: string
}

export type WaitReason = 'delay' | 'event' | 'retry' | 'completion' | 'loop'

export interface Thread {
  /** The item's index as text; empty for the main line. */
  iteration: string
  /** The step to do next; `end`: it has arrived. */
  step: Target
  /** Null: it can go on now. */
  waiting: WaitReason | null
  /** Epoch milliseconds of the database's clock at which it goes on by itself; null: only when something comes. */
  due_at: number | null
  /** Attempts of the current step that failed. */
  failures: number
  /** When the current step began, in epoch milliseconds; null: not begun. */
  since: number | null
  variables: Record<string, unknown>
}

export interface LoopState {
  step: StepId
  items: unknown[]
  /** The next item to start. */
  next: number
  succeeded: number
  threads: Thread[]
}

export function newThread(iteration: string, step: Target, variables: Record<string, unknown>): Thread {
  return { iteration, step, waiting: null, due_at: null, failures: 0, since: null, variables }
}

export function initialState(start: StepId, variables: Record<string, unknown>): ExecutionState {
  return { main: newThread('', start, variables), loop: null, error: null, filtered: false }
}

/** Moves a thread on; what it waited for is done with. */
export function moveTo(thread: Thread, step: Target): void {
  thread.step = step
  thread.waiting = null
  thread.due_at = null
  thread.failures = 0
  thread.since = null
}

export function suspend(thread: Thread, reason: WaitReason, dueAt: number | null): void {
  thread.waiting = reason
  thread.due_at = dueAt
}

export function threadsOf(state: ExecutionState): Thread[] {
  return state.loop === null ? [state.main] : [state.main, ...state.loop.threads]
}

/** The next moment at which something goes on by itself; null: nothing does. */
export function nextDueAt(state: ExecutionState): number | null {
  const times = threadsOf(state).flatMap(({ waiting, due_at }) =>
    waiting !== null && due_at !== null ? [due_at] : [],
  )
  return times.length === 0 ? null : Math.min(...times)
}
