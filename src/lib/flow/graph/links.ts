import { followingOf } from '../read/drafts.ts'
import type { Compilation } from '../read/reader.ts'
import type { ReadStep } from '../read/step.ts'
import { definitionOf } from '../steps/index.ts'
import { END } from '../elements.ts'

/** One way from a step to another. */
export interface Edge {
  from: string
  /** `body` for the way from a loop into its body. */
  port: string
  to: string
}

export interface FlowGraph {
  steps: ReadonlyMap<string, ReadStep>
  /** Targets of every port; an error that goes to the flow's handlers has none. */
  next: Map<string, Record<string, string>>
  edges: Map<string, Edge[]>
  /** A port names a step that does not exist: the steps that cannot be reached are not known. */
  hasUnknownTarget: boolean
}

/** Resolves every port to a step or `end`, with defaults for those that are left out. */
export function* linkSteps(
  compilation: Compilation,
  steps: ReadonlyMap<string, ReadStep>,
): Generator<undefined, FlowGraph> {
  const graph: FlowGraph = { steps, next: new Map(), edges: new Map(), hasUnknownTarget: false }
  // Loops come last: the step after a loop depends on the end of its body.
  const loops = [...steps.values()].filter(isLoop)
  const others = [...steps.values()].filter((step) => !isLoop(step))
  for (const each of [...others, ...loops]) {
    linkStep(compilation, graph, each)
    yield
  }
  return graph
}

function linkStep(compilation: Compilation, graph: FlowGraph, each: ReadStep): void {
  const { id } = each.draft
  const next: Record<string, string> = {}
  const edges: Edge[] = []
  graph.next.set(id, next)
  graph.edges.set(id, edges)
  const body = bodyOf(each)
  if (body !== null) {
    if (graph.steps.has(body)) edges.push({ from: id, port: 'body', to: body })
    else reportUnknown(compilation, graph, each, 'body', body)
  }
  for (const port of each.ports) {
    const target = each.links.has(port)
      ? sentTarget(compilation, graph, each, port)
      : defaultTarget(graph, each, port)
    if (target === null) continue
    next[port] = target
    if (target !== END) edges.push({ from: id, port, to: target })
  }
}

function sentTarget(compilation: Compilation, graph: FlowGraph, each: ReadStep, port: string): string | null {
  const target = each.links.get(port)
  if (target === END) return END
  if (typeof target === 'string' && graph.steps.has(target)) return target
  reportUnknown(compilation, graph, each, port === 'next' ? 'next' : `on_${port}`, target)
  return null
}

function reportUnknown(
  compilation: Compilation,
  graph: FlowGraph,
  { draft }: ReadStep,
  member: string,
  target: unknown,
): void {
  graph.hasUnknownTarget = true
  if (typeof target !== 'string') {
    const message = `Give "${member}" the id of one step, or "end": what is to follow it stands in that step's own ports.`
    compilation.problems.report('unknown_target', [...draft.path, member], message, draft.id)
    return
  }
  const name = target
  const near = compilation.problems.near(name, graph.steps.keys())
  const advice = near === null ? 'give the id of a step, or "end"' : `did you mean "${near}"?`
  const code = member === 'on_error' ? 'unknown_handler' : 'unknown_target'
  const message = `There is no step "${name.slice(0, 64)}": ${advice}`
  compilation.problems.report(code, [...draft.path, member], message, draft.id)
}

/** Returns where a port leads that is left out; null: an error goes to the flow's handlers. */
function defaultTarget(graph: FlowGraph, each: ReadStep, port: string): string | null {
  if (port === 'error') return null
  if (!definitionOf(each.type).goesOn.includes(port)) return END
  return isLoop(each) ? afterLoop(graph, each) : knownOrEnd(graph, followingOf(each.draft))
}

/** Returns the next step that the loop's body does not lead to: a body may be written right behind its loop. */
function afterLoop(graph: FlowGraph, loop: ReadStep): string {
  const { siblings, position } = loop.draft
  const body = bodyOf(loop)
  const inBody = body === null ? new Set<string>() : reachableFrom(graph, [body])
  return siblings.slice(position + 1).find((id) => graph.steps.has(id) && !inBody.has(id)) ?? END
}

function knownOrEnd(graph: FlowGraph, id: string | null): string {
  return id !== null && graph.steps.has(id) ? id : END
}

/** Returns the first step of a loop's body; null: the step is no loop, or is wrong. */
export function bodyOf({ config, type }: ReadStep): string | null {
  return config && (definitionOf(type).body?.first(config) ?? null)
}

export function isLoop({ type }: ReadStep): boolean {
  return definitionOf(type).body !== null
}

/** Finds the steps that can be reached from some, those included. */
export function reachableFrom(
  graph: FlowGraph,
  starts: readonly string[],
  follows: (edge: Edge) => boolean = () => true,
): Set<string> {
  const reached = new Set(starts.filter((id) => graph.steps.has(id)))
  for (const id of reached) {
    for (const edge of graph.edges.get(id) ?? []) if (follows(edge)) reached.add(edge.to)
  }
  return reached
}
