import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { END } from './elements.ts'
import type { Inspection } from './graph/step-scope.ts'
import type { FlowProblem } from './problems.ts'

/** Holds the part of a flow that may run before a step has run, and the step. */
export interface FlowUntil {
  /** In graph format; what leads elsewhere ends. */
  definition: Record<string, unknown>
  /** Tells what is wrong with the definition as a whole, or with a step that is left of it. */
  concerns: (problem: FlowProblem) => boolean
}

/**
 * Cuts a definition in graph format down to what may run before a step has run. Null: it has no such step, or cannot be
 * cut, since its steps are written inside of one another.
 */
export function cutAfter(
  definition: Record<string, unknown>,
  { graph, structure }: Inspection,
  last: string,
): FlowUntil | null {
  const target = graph.steps.get(last)
  const drafts = [...graph.steps.values()].map(({ draft }) => draft)
  if (target === undefined || drafts.some(({ bodyOf }) => bodyOf !== null)) return null
  const kept = stepsBefore(last, [...graph.edges.values()].flat(), structure.loops)
  // Any step may fail, and lead to the first handler.
  if (target.draft.isHandler) for (const { id, isHandler } of drafts) if (!isHandler) kept.add(id)
  const steps = drafts
    .filter(({ id }) => kept.has(id))
    .map(({ id, members, isHandler }) => {
      const ways = Object.entries(graph.next.get(id) ?? {}).map(([port, to]) => {
        return [port === 'next' ? port : `on_${port}`, kept.has(to) ? to : END]
      })
      return { isHandler, step: { ...members, ...(Object.fromEntries(ways) as object) } }
    })
  const of = (isHandler: boolean): object[] =>
    steps.filter((each) => each.isHandler === isHandler).map(({ step }) => step)
  return {
    definition: {
      ...definition,
      steps: of(false),
      error_handlers: of(true),
      ...(isPlainObject(definition['layout']) && { layout: {} }),
    },
    concerns: ({ step_id: id }) => id === null || kept.has(id),
  }
}

/** Of a loop that comes before it runs the whole body. */
function stepsBefore(
  last: string,
  edges: readonly { from: string; to: string }[],
  loops: ReadonlyMap<string, string>,
): Set<string> {
  const before = Map.groupBy(edges, ({ to }) => to)
  const bodies = Map.groupBy(loops, ([, loop]) => loop)
  const kept = new Set<string>()
  const open = [last]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (kept.has(id)) continue
    kept.add(id)
    open.push(...(before.get(id) ?? []).map(({ from }) => from))
    const holdsLast = loops.get(last) === id
    if (!holdsLast) open.push(...(bodies.get(id) ?? []).map(([step]) => step))
  }
  return kept
}
