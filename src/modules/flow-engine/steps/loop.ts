import type { ForEachStep } from '#lib/flow/types.ts'
import { render, StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { endItem, enterLoop, type Thread } from '../run/state.ts'

/** Starts the first items' lines; the main line waits for the last one. @throws {StepError} */
export function doLoop(frame: Frame, at: Position<ForEachStep>): void {
  const { list: tree, max_items, concurrency, body } = at.step.config
  const now = frame.now()
  const list = render(frame.program, tree, frame.scopeOf(at.thread), new Date(now))
  if (!Array.isArray(list)) {
    throw new StepError('not_a_list', 'The list of the loop did not come out as a list.')
  }
  if (list.length > max_items) {
    const message = `The list has ${list.length} items; max_items is ${max_items}.`
    throw new StepError('too_many_items', message)
  }
  frame.journal.touch()
  if (list.length === 0) {
    frame.leave(at, { port: 'done', output: { count: 0 } })
    return
  }
  enterLoop(frame.state, list, { body, places: Math.min(concurrency, list.length) }, now)
}

/** An item's line has come to its end: the next item takes its place, or the loop is done. */
export function endLoopItem(frame: Frame, thread: Thread): void {
  const { loop, main } = frame.state
  if (loop === null) return
  const step = frame.program.step(loop.step) as ForEachStep
  frame.scope.forget(thread.iteration)
  frame.journal.touch()
  if (!endItem(frame.state, thread, step.config.body, frame.now())) return
  frame.state.loop = null
  frame.leave({ thread: main, stepId: loop.step, step }, { port: 'done', output: { count: loop.succeeded } })
}
