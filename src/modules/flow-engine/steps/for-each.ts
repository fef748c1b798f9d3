import type { ForEachStep } from '#lib/flow/steps/for-each.ts'
import { findDefinition } from '#lib/flow/steps/index.ts'
import { render, StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { endItem, enterLoop, type LoopState, type Thread } from '../run/state.ts'
import type { StepRunner } from './runner.ts'

/** JSON of what a loop gives, in characters: it is loaded whenever the execution goes on. Values go beyond it. */
const RESULTS_MAX_CHARS = 256 * 1024

export const forEachRunner: StepRunner<ForEachStep> = {
  /** Starts the threads of the first items; the main thread waits for the last one. */
  run(frame, at) {
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
      frame.leave(at, { port: 'done', output: { count: 0, succeeded: 0, failed: 0, results: [] } })
      return
    }
    frame.scope.collected.clear()
    enterLoop(frame.state, list, { body, places: Math.min(concurrency, list.length) }, now)
  },
}

/** Ends an item whose thread has come to its end: the next item takes its place, or the loop is done. */
export function endLoopItem(frame: Frame, thread: Thread): void {
  const { loop, main } = frame.state
  if (loop === null) return
  const step = frame.program.step(loop.step) as ForEachStep
  if (thread.failed === undefined) keepItem(frame, { thread, stepId: loop.step, step })
  frame.scope.forget(thread.iteration)
  frame.journal.touch()
  if (!endItem(frame.state, thread, step.config.body, frame.now())) return
  frame.state.loop = null
  frame.leave({ thread: main, stepId: loop.step, step }, { port: 'done', output: resultsOf(frame, loop) })
}

/** Keeps what an item leaves behind: the value that `collect` asks for, and the variables that its steps have set. */
function keepItem(frame: Frame, { thread, stepId, step }: Position<ForEachStep>): void {
  const { collect } = step.config
  const names = variablesSetIn(frame, stepId)
  if (collect === undefined && names.length === 0) return
  const variables = Object.fromEntries(
    names.flatMap((name) => (Object.hasOwn(thread.variables, name) ? [[name, thread.variables[name]]] : [])),
  )
  let value: unknown = null
  let note: string | null = null
  if (collect !== undefined) {
    try {
      value = render(frame.program, collect, frame.scopeOf(thread), new Date(frame.now()))
    } catch (error) {
      if (!(error instanceof StepError)) throw error
      note = error.message
    }
  }
  const output = { ...(collect !== undefined && { value }), ...(names.length > 0 && { variables }) }
  frame.scope.collected.set(thread.iteration, output)
  frame.journal.record(thread, step, { stepId, status: 'succeeded', port: 'item', output, note })
}

function variablesSetIn({ program }: Frame, loop: string): string[] {
  const names = Object.values(program.flow.steps).flatMap((step) =>
    step.loop === loop ? (findDefinition(step.type)?.variables?.names(step.config) ?? []) : [],
  )
  return [...new Set(names)]
}

/** Returns one result for each item, in order. */
function resultsOf({ scope }: Frame, { items, succeeded, failed = 0, failures = [] }: LoopState): object {
  const count = items.length
  const errors = new Map(failures.map(({ index, ...error }) => [index, error]))
  const isTold = failed === failures.length
  const result = (index: number, withValue: boolean): object => {
    const error = errors.get(index)
    if (error !== undefined) return { index, status: 'failed', error }
    const kept = scope.collected.get(String(index)) as object | undefined
    return { index, status: 'succeeded', ...(withValue && kept) }
  }
  const all = (withValue: boolean): object[] => items.map((_, index) => result(index, withValue))
  const whole = { count, succeeded, failed, results: all(true) }
  if (isTold && JSON.stringify(whole).length <= RESULTS_MAX_CHARS) return whole
  return {
    count,
    succeeded,
    failed,
    results: isTold ? all(false) : failures.map(({ index }) => result(index, false)),
    truncated: true,
  }
}
