import type { Edge, FlowGraph } from './links.ts'
import { bodyOf, isLoop, reachableFrom } from './links.ts'
import type { Compilation } from '../read/reader.ts'
import type { ReadStep } from '../read/step.ts'
import { definitionOf } from '../steps/index.ts'

export interface Structure {
  /** Steps that an execution can come to. */
  reachable: ReadonlySet<string>
  /** The loop in whose body a step stands. */
  loops: ReadonlyMap<string, string>
}

/** Checks what leads where: bodies, handlers, steps that nothing leads to. */
export function* checkStructure(
  compilation: Compilation,
  graph: FlowGraph,
  start: string,
  handlers: readonly string[],
): Generator<undefined, Structure> {
  const loops = yield* checkBodies(compilation, graph, start)
  checkHandlerTargets(compilation, graph)
  const reachable = reachableFrom(graph, [start, ...handlers.slice(0, 1)])
  if (!graph.hasUnknownTarget) reportUnreached(compilation, graph, reachable)
  if (!graph.hasUnknownTarget && ![...reachable].some((id) => isCall(graph.steps.get(id)))) {
    const message = 'Add an action, a message or an http step: no path of this flow does anything.'
    const first = graph.steps.get(start)
    const path = first?.draft.path.slice(0, -1) ?? []
    // Steps that do something were meant to be reached.
    const isCutOff = [...graph.steps.values()].some((step) => isCall(step) && !step.draft.isHandler)
    compilation.problems.report('no_action', path, message, null, isCutOff ? 'error' : undefined)
  }
  return { reachable, loops }
}

/** Checks that a body is entered by its loop alone. */
function* checkBodies(
  compilation: Compilation,
  graph: FlowGraph,
  start: string,
): Generator<undefined, Map<string, string>> {
  const loops = new Map<string, string>()
  const isInside = ({ to }: Edge): boolean => !graph.steps.get(to)?.draft.isHandler
  for (const [loop, step] of graph.steps) {
    const entry = bodyOf(step)
    if (entry === null || !graph.steps.has(entry)) continue
    for (const id of reachableFrom(graph, [entry], isInside)) {
      const inner = graph.steps.get(id)
      if (inner && isLoop(inner) && id !== loop) {
        const message = `A loop cannot stand in the body of another ("${loop}"): let an action do the inner one.`
        compilation.problems.report('loop_nested', inner.draft.path, message, id)
      }
      if (!loops.has(id)) loops.set(id, loop)
    }
    yield
  }
  const incoming = [...graph.edges.values()].flat()
  for (const { from, port, to } of [...incoming, { from: '', port: '', to: start }]) {
    const loop = loops.get(to)
    if (loop === undefined || loops.get(from) === loop || (from === loop && port === 'body')) continue
    const step = graph.steps.get(to)
    const way = from === '' ? 'the flow starts there' : `"${from}" leads there by "${port}"`
    const message = `"${to}" is in the body of "${loop}", and ${way}, too: end the body before it with "end".`
    compilation.problems.report('loop_entered', step?.draft.path ?? [], message, to)
  }
  return loops
}

function checkHandlerTargets(compilation: Compilation, graph: FlowGraph): void {
  for (const [id, step] of graph.steps) {
    const { draft } = step
    if (!draft.isHandler) continue
    if (isLoop(step)) {
      const message = 'Use another step: an error handler cannot be a loop.'
      compilation.problems.report('handler_type', [...draft.path, 'type'], message, id)
    }
    for (const { port, to } of graph.edges.get(id) ?? []) {
      if (graph.steps.get(to)?.draft.isHandler) continue
      const member = port === 'next' ? 'next' : `on_${port}`
      const message = `A handler leads to handlers or "end", not to "${to}": move it into "steps" to go on from it.`
      compilation.problems.report('handler_target', [...draft.path, member], message, id)
    }
  }
}

function reportUnreached(compilation: Compilation, graph: FlowGraph, reachable: ReadonlySet<string>): void {
  for (const [id, { draft }] of graph.steps) {
    if (reachable.has(id)) continue
    if (draft.isHandler) {
      const message = 'No error leads to this handler: name it in an "on_error", or remove it.'
      compilation.problems.report('unused_handler', draft.path, message, id)
    } else {
      const message = 'No path leads to this step: name it in a port of another, or remove it.'
      compilation.problems.report('unreachable_step', draft.path, message, id)
    }
  }
}

function isCall(step: ReadStep | undefined): boolean {
  return step !== undefined && definitionOf(step.type).calls
}
