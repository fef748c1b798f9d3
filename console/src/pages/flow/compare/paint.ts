import { wayId } from '../../../canvas/layout.ts'
import { type CardState, type Painting, triggerKey } from '../../../canvas/painting.ts'
import { type FlowDifference, isSameFlow } from '../../../flow/compare.ts'
import type { FlowGraph } from '../../../flow/graph.ts'

/** What differs, on the cards of one side: what only the other one has is not here, and what is the same is faded. */
export function paintDifference(
  difference: FlowDifference,
  graph: FlowGraph,
  side: 'before' | 'after',
  noteOf: (count: number) => string,
): Painting {
  const absent = side === 'before' ? 'added' : 'removed'
  const cards = new Map<string, CardState>()
  const ways = new Set<string>()
  const triggers = new Set<string>()
  for (const { id, fate, members, ways: changed } of difference.steps) {
    if (fate === absent) continue
    cards.set(id, { status: fate, note: members.length > 0 ? noteOf(members.length) : null })
    for (const { port, [side]: to } of changed) if (to !== null) ways.add(wayId({ from: id, port, to }))
    const isWhole = fate === 'added' || fate === 'removed'
    for (const way of isWhole ? (graph.edgesFrom.get(id) ?? []) : []) ways.add(wayId(way))
  }
  for (const { id, fate } of difference.triggers) {
    if (fate === absent) continue
    cards.set(triggerKey(id), { status: fate, note: null })
    if (fate !== 'changed') triggers.add(id)
  }
  return { cards, ways, triggers, isPath: !isSameFlow(difference) }
}
