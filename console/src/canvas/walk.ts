import { END, type FlowGraph, scopeOf } from '../flow/graph.ts'

/** Where an arrow key leads from a step: down the main way, back, or to the step beside it that the same one leads to. */
export function neighbour(graph: FlowGraph, id: string | null, key: string): string | null {
  if (id === null || !graph.steps.has(id)) return graph.start
  const leading = graph.edges.filter(({ to }) => to === id)
  if (key === 'ArrowDown') return graph.edgesFrom.get(id)?.find(({ to }) => to !== END)?.to ?? null
  if (key === 'ArrowUp') return leading[0]?.from ?? null
  const beside = leading.flatMap(({ from }) => (graph.edgesFrom.get(from) ?? []).map(({ to }) => to))
  const choices = [...new Set(beside)].filter((to) => to !== END)
  if (choices.length < 2) return null
  const step = key === 'ArrowRight' ? 1 : -1
  return choices[(choices.indexOf(id) + step + choices.length) % choices.length] ?? null
}

export interface OutlineItem {
  id: string
  level: number
}

/** The steps as a tree: bodies below their loop, in the order in which they are written; error handlers last. */
export function outlineOf(graph: FlowGraph): OutlineItem[] {
  const all = [...graph.steps.values()]
  const bodies = Map.groupBy(all, (step) => scopeOf(graph, step))
  return (bodies.get(null) ?? []).flatMap(({ id }) => [
    { id, level: 1 },
    ...(bodies.get(id) ?? []).map((step) => ({ id: step.id, level: 2 })),
  ])
}
