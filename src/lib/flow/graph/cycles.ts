import type { Edge, FlowGraph } from './links.ts'
import type { Compilation } from '../read/reader.ts'

const MAX_REPORTED = 20

interface Visit {
  id: string
  edges: readonly Edge[]
  at: number
}

/** Reports ports that lead back, with the way round. Without any, every step stands before its targets in `order`. */
export function orderSteps(
  compilation: Compilation,
  graph: FlowGraph,
): { order: string[]; hasCycle: boolean } {
  const finished = new Set<string>()
  const open = new Set<string>()
  const order: string[] = []
  let reported = 0
  for (const start of graph.steps.keys()) {
    if (finished.has(start)) continue
    const stack: Visit[] = [visit(graph, start)]
    open.add(start)
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const edge = top.edges[top.at++]
      if (!edge) {
        stack.pop()
        open.delete(top.id)
        finished.add(top.id)
        order.push(top.id)
      } else if (open.has(edge.to)) {
        const from = stack.findIndex(({ id }) => id === edge.to)
        const way = [...stack.slice(from).map(({ id }) => id), edge.to]
        if (++reported <= MAX_REPORTED) reportCycle(compilation, graph, edge, way)
      } else if (!finished.has(edge.to)) {
        open.add(edge.to)
        stack.push(visit(graph, edge.to))
      }
    }
  }
  return { order: order.reverse(), hasCycle: reported > 0 }
}

function visit(graph: FlowGraph, id: string): Visit {
  return { id, edges: graph.edges.get(id) ?? [], at: 0 }
}

function reportCycle(compilation: Compilation, graph: FlowGraph, edge: Edge, way: readonly string[]): void {
  const step = graph.steps.get(edge.from)
  const areHandlers = way.every((id) => graph.steps.get(id)?.draft.isHandler)
  const member = edge.port === 'next' || edge.port === 'body' ? edge.port : `on_${edge.port}`
  const shown = way.length > 12 ? [...way.slice(0, 6), '…', ...way.slice(-5)] : way
  const message = `Steps lead back to themselves: ${shown.join(' → ')}. Lead "${member}" of "${edge.from}" elsewhere; for_each repeats.`
  const code = areHandlers ? 'handler_cycle' : 'cycle'
  compilation.problems.report(code, [...(step?.draft.path ?? []), member], message, edge.from)
}
