import type { FlowGraph } from '../../flow/graph.ts'
import type { RunStep } from './types.ts'

/** The steps that a retry may begin at: what was done outside of loops and handlers, once each, in its order. */
export function retryPlaces(steps: readonly RunStep[], graph: FlowGraph | null): string[] {
  const ids = steps
    .filter(({ iteration, step_id }) => iteration === '' && graph?.steps.get(step_id)?.isHandler !== true)
    .map(({ step_id }) => step_id)
  return [...new Set(ids)]
}

/** What a retry does not do again, and what it does, of what was done. What comes after is new. */
export function retryPlan(
  from: string,
  steps: readonly RunStep[],
  graph: FlowGraph | null,
): { kept: string[]; again: string[] } {
  const places = retryPlaces(steps, graph)
  if (from === 'start') return { kept: [], again: places }
  if (from !== 'failed') {
    const at = places.indexOf(from)
    return { kept: places.slice(0, at), again: places.slice(at) }
  }
  const done = new Set(
    steps
      .filter(({ status, iteration }) => iteration === '' && status !== 'failed')
      .map(({ step_id }) => step_id),
  )
  const lastFailed = places.findLast((id) => !done.has(id))
  return {
    kept: places.filter((id) => id !== lastFailed),
    again: lastFailed === undefined ? [] : [lastFailed],
  }
}
