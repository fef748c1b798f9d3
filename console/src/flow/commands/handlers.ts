import type { Command, FlowDocument } from '../document.ts'
import { graphOf } from '../document.ts'
import { END } from '../graph.ts'
import { CUTS_OFF, guarded } from './faults.ts'
import { put } from './insert.ts'
import { lead, place, portsTo, type StepMembers, stepOf, targetOf } from './parts.ts'

/** Tells whether a step's errors can be led to a handler of its own: they do not lead to another step of the flow. */
export function mayAddHandler(document: FlowDocument, id: string): boolean {
  if (stepOf(document, id)?.ports.includes('error') !== true) return false
  const to = targetOf(document, { from: id, port: 'error' })
  return to === null || to === END || stepOf(document, to)?.isHandler === true
}

/**
 * Puts a step among the error handlers and leads a step's errors there. A handler that took them up before follows the
 * new one.
 */
export function addHandler(of: string, members: StepMembers): Command {
  return guarded((document) => {
    if (!mayAddHandler(document, of) || stepOf(document, members.id) !== null) return document
    const way = { from: of, port: 'error' }
    const target = targetOf(document, way)
    const step = { ...portsTo(String(members['type']), members, END), ...members }
    if (target !== null && target !== END) return put(document, { at: 'way', ...way }, step)
    // Last: the first of the handlers takes up the errors of all steps that have none of their own.
    const last = graphOf(document).handlers.at(-1) ?? null
    return lead(place(document, 'error_handlers', step, last), way, members.id)
  }, CUTS_OFF)
}
