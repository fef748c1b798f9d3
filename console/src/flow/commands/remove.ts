import type { Command, FlowDocument } from '../document.ts'
import { graphOf } from '../document.ts'
import { END } from '../graph.ts'
import { guarded } from './faults.ts'
import { bodyOf, lead, mainPortOf, stepOf, takeOut, waysInto, withLayout, withStart } from './parts.ts'

/**
 * Deletes steps, and the bodies of loops with them. What led to a step goes on to the one step that it led to; where it
 * led to several or to none, that ends.
 */
export function removeSteps(ids: readonly string[]): Command {
  return guarded((document) => {
    let after = document
    for (const id of ids) after = removeStep(after, id)
    return after
  })
}

function removeStep(document: FlowDocument, id: string): FlowDocument {
  const step = stepOf(document, id)
  if (step === null) return document
  const body = new Set(bodyOf(document, id))
  const healed = heal(document, id, onlyFollower(document, id, body))
  return withoutPlaces(takeOut(healed, new Set([id, ...body])), new Set([id, ...body]))
}

/** Where it leads, if that is one step; errors that it takes up are its own. */
function onlyFollower(document: FlowDocument, id: string, body: ReadonlySet<string>): string | null {
  const ways = graphOf(document).edgesFrom.get(id) ?? []
  const targets = new Set(
    ways.flatMap(({ port, to }) => (port === 'error' || to === END || to === id || body.has(to) ? [] : to)),
  )
  const [only] = targets
  return targets.size === 1 ? (only ?? null) : null
}

/** Leads what leads to a step to another one; null: it ends. */
export function heal(document: FlowDocument, id: string, to: string | null): FlowDocument {
  let after = document
  const isTaken = to !== null && stepOf(document, to)?.isHandler === true
  for (const way of waysInto(document, id)) {
    const isFromHandler = stepOf(document, way.from)?.isHandler === true
    const target = to === null || (isFromHandler && !isTaken) ? null : to
    // An error that nobody takes up any more is the handlers' again, and not as good as none.
    after = lead(after, way, target ?? (way.port === 'error' ? null : END))
  }
  if (graphOf(document).start !== id) return after
  return withStart(after, to !== null && !isTaken ? to : firstOf(document, id))
}

/** The step to begin with where the first one led to none, or to several. */
function firstOf(document: FlowDocument, id: string): string | null {
  const step = stepOf(document, id)
  const body = new Set([id, ...bodyOf(document, id)])
  const main = step && mainPortOf(step)
  const graph = graphOf(document)
  const ways = (graph.edgesFrom.get(id) ?? []).filter(({ to }) => to !== END && !body.has(to))
  const next = (ways.find(({ port }) => port === main) ?? ways[0])?.to
  if (next !== undefined && graph.steps.get(next)?.isHandler === false) return next
  const others = [...graph.steps.values()].filter((each) => !each.isHandler && !body.has(each.id))
  return (others.find(({ loop }) => loop === null) ?? others[0])?.id ?? null
}

export function withoutPlaces(document: FlowDocument, ids: ReadonlySet<string>): FlowDocument {
  const { positions } = document.layout
  if (!Object.keys(positions).some((id) => ids.has(id))) return document
  const kept = Object.entries(positions).filter(([id]) => !ids.has(id))
  return withLayout(document, { positions: Object.fromEntries(kept) })
}
