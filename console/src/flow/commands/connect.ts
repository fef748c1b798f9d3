import type { Command, FlowDocument } from '../document.ts'
import { graphOf } from '../document.ts'
import { END, hasBody } from '../graph.ts'
import { faultOf, guarded, type StructureCode } from './faults.ts'
import { lead, stepOf, type Way } from './parts.ts'

/**
 * Leads a way to a step, or to `end`; null: an error goes to the flow's handlers, a body is empty. What it led to before
 * stays where it is, even if nothing leads there any more. Nothing is changed where `connectFault` has a reason.
 */
export function connect(way: Way, to: string | null): Command {
  return guarded((document) => {
    const isKnown = to === null || to === END || stepOf(document, to) !== null
    const mayBeLeftOut = way.port === 'error' || way.port === 'body'
    if (!isKnown || !hasWay(document, way) || (to === null && !mayBeLeftOut)) return document
    return lead(document, way, to)
  })
}

/** Why a way may not lead to a step, in the compiler's word; null: it may. */
export function connectFault(document: FlowDocument, way: Way, to: string): StructureCode | null {
  if (to !== END && stepOf(document, to) === null) return 'unknown_target'
  return faultOf(document, (before) => lead(before, way, to))
}

/** The same of every step at once, for showing where a way may be drawn to. */
export function connectFaults(document: FlowDocument, way: Way): ReadonlyMap<string, StructureCode | null> {
  const graph = graphOf(document)
  const from = graph.steps.get(way.from)
  const before = stepsBefore(document, way.from)
  return new Map(
    [...graph.steps.values()].map((step) => {
      const isBack = step.id === way.from || before.has(step.id)
      const isEasy = isBack && from?.isHandler === false && step.loop === from.loop && way.port !== 'body'
      if (isEasy) return [step.id, 'cycle'] as const
      const isPlain = from?.loop == null && step.loop === null && way.port !== 'body' && !isBack
      // Within the flow itself nothing else can be wrong with a way to what does not lead back.
      if (isPlain && from?.isHandler === false) return [step.id, null] as const
      return [step.id, connectFault(document, way, step.id)] as const
    }),
  )
}

function stepsBefore(document: FlowDocument, id: string): ReadonlySet<string> {
  const into = Map.groupBy(graphOf(document).edges, ({ to }) => to)
  const before = new Set([id])
  for (const each of before) for (const { from } of into.get(each) ?? []) before.add(from)
  return before
}

function hasWay(document: FlowDocument, { from, port }: Way): boolean {
  const step = stepOf(document, from)
  return step !== null && (step.ports.includes(port) || (port === 'body' && hasBody(step.type)))
}
