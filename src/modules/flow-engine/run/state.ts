import type { PortTarget, StepId } from '#lib/flow/types.ts'

/**
 * Says where an execution stands: one thread of steps, and while a `for_each` runs one more for each item under way.
 * Outputs of steps are not in here but in `automation_steps`, so that a boundary's cost does not grow with the flow.
 */
export interface ExecutionState {
  main: Thread
  loop: LoopState | null
  /** The error, once an error handler has been entered: errors inside of it enter none. */
  error: ExecutionError | null
  /** A condition that was not met led to the end. */
  filtered: boolean
  /** The loop that an error broke off, once a handler was entered: where a retry goes on. */
  interrupted?: LoopState
  /** The error is the other side's: it says nothing about the flow. */
  outside?: true
  /** A hold of it was cut off, and the one after it had to give it back: a call may have got through. */
  cut_off?: true
}

export interface ExecutionError {
  step_id: string
  code: string
  message: string
}

/** `hours`: a message is held back, by the flow's send window or the tenant's quiet hours. */
export type WaitReason = 'delay' | 'event' | 'retry' | 'completion' | 'hours' | 'loop'

/** One attempt of a step that calls. A step's log holds those of a step that was tried more than once. */
export interface Attempt {
  /** From 1. */
  number: number
  /** Its end, in epoch milliseconds of the database's clock. */
  ended_at: number
  /** Null: it was accepted, and ended later. */
  duration_ms: number | null
  /** Null: it succeeded. */
  error: { code: string; message: string } | null
  /** The time at which the next one was due, in epoch milliseconds; null: there was to be none. */
  next_at: number | null
}

export interface Thread {
  /** The item's index as text; empty for the main thread. */
  iteration: string
  /** The step to do next; `end`: it has arrived. */
  step: PortTarget
  /** Null: it can go on now. */
  waiting: WaitReason | null
  /** Epoch milliseconds of the database's clock at which it goes on by itself; null: only when something comes. */
  due_at: number | null
  /** Attempts of the current step that failed. */
  failures: number
  /** Its latest attempts; left out: none has failed. */
  attempts?: Attempt[]
  /** The target of a call that it waits for, or behind whom it waits. Left out: it does not. */
  held_by?: string
  /** It waits behind another without a pause of its own: at its moment it only looks, and it may look sooner. */
  behind?: true
  /**
   * When it came to the current step, in epoch milliseconds; null: with the execution. What a call sends is filled in
   * as of this moment, so that a repeated call sends the same.
   */
  since: number | null
  /**
   * From when on its patience counts, once hours have held it back: from their opening, less what it had used before.
   * Left out: from `since`.
   */
  open_since?: number
  variables: Record<string, unknown>
  /** The last error of this thread that an error port took up; left out: none. */
  caught?: ExecutionError | null
  /** Of an item: what ended it, in a loop that goes on. */
  failed?: { code: string; message: string }
}

export interface LoopState {
  step: StepId
  items: unknown[]
  /** The next item to start. */
  next: number
  succeeded: number
  threads: Thread[]
  /** Of the main thread when the loop began. Left out by those that began under an older release. */
  variables?: Record<string, unknown>
  /** Items that failed, of a loop that goes on, and the first ones of them. */
  failed?: number
  failures?: { index: number; code: string; message: string }[]
}

/** Failures of items that are told with what went wrong. */
const FAILURES_TOLD = 100
const FAILURE_MAX_CHARS = 300

export function initialState(
  start: StepId,
  variables: Record<string, unknown>,
  caught: ExecutionError | null = null,
): ExecutionState {
  const main = newThread('', start, variables, null)
  return { main: caught === null ? main : { ...main, caught }, loop: null, error: null, filtered: false }
}

/** Tells a state in which nothing has been done yet. */
export function isInitial({ main, loop, error }: ExecutionState): boolean {
  return (
    main.since === null && main.waiting === null && main.failures === 0 && loop === null && error === null
  )
}

/** Moves a thread on; what it waited for is done with. */
export function moveTo(thread: Thread, step: PortTarget, nowMs: number): void {
  restart(thread, newThread(thread.iteration, step, thread.variables, nowMs))
}

/** Leaves behind what belongs to the step that a thread was at. */
function restart(thread: Thread, fresh: Thread): void {
  delete thread.held_by
  delete thread.behind
  delete thread.open_since
  delete thread.attempts
  Object.assign(thread, fresh)
}

export function suspend(thread: Thread, reason: WaitReason, dueAtMs: number | null): void {
  thread.waiting = reason
  thread.due_at = dueAtMs === null ? null : Math.ceil(dueAtMs)
}

export function threadsOf(state: ExecutionState): Thread[] {
  return state.loop === null ? [state.main] : [state.main, ...state.loop.threads]
}

/** Returns the next moment at which something goes on by itself; null: nothing does. */
export function nextDueAt(state: ExecutionState): number | null {
  const times = threadsOf(state).flatMap(({ waiting, due_at }) =>
    waiting !== null && due_at !== null ? [due_at] : [],
  )
  return times.length === 0 ? null : Math.min(...times)
}

/** Starts a loop's first items; its main thread waits until the last one has ended. */
export function enterLoop(
  state: ExecutionState,
  items: unknown[],
  loop: { body: StepId; places: number },
  nowMs: number,
): void {
  const { main } = state
  const threads = Array.from({ length: loop.places }, (_, index) =>
    newThread(String(index), loop.body, { ...main.variables }, nowMs),
  )
  state.loop = {
    step: main.step,
    items,
    next: loop.places,
    succeeded: 0,
    threads,
    variables: { ...main.variables },
  }
  suspend(main, 'loop', null)
}

function noteFailure(loop: LoopState, index: number, { code, message }: NonNullable<Thread['failed']>): void {
  loop.failed = (loop.failed ?? 0) + 1
  loop.failures ??= []
  if (loop.failures.length === FAILURES_TOLD) return
  loop.failures.push({ index, code, message: message.slice(0, FAILURE_MAX_CHARS).toWellFormed() })
}

/** Ends an item, whose place is the next one's. @returns whether the loop is over */
export function endItem(state: ExecutionState, thread: Thread, body: StepId, nowMs: number): boolean {
  const { loop, main } = state
  if (loop === null) return false
  if (thread.failed === undefined) loop.succeeded++
  else noteFailure(loop, Number(thread.iteration), thread.failed)
  delete thread.failed
  if (loop.next < loop.items.length) {
    restart(thread, {
      ...newThread(String(loop.next++), body, { ...main.variables }, nowMs),
      caught: null,
    })
    return false
  }
  loop.threads = loop.threads.filter((other) => other !== thread)
  return loop.threads.length === 0
}

function newThread(
  iteration: string,
  step: PortTarget,
  variables: Record<string, unknown>,
  since: number | null,
): Thread {
  return { iteration, step, waiting: null, due_at: null, failures: 0, since, variables }
}
