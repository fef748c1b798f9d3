import type { Command, FlowDocument, Point } from '../document.ts'
import { graphOf } from '../document.ts'
import { END, type Members } from '../graph.ts'
import { freshId } from '../ids.ts'
import { stepType } from '../step-types.ts'
import { CUTS_OFF, guarded } from './faults.ts'
import {
  followerOf,
  laneOf,
  lead,
  mainPortOf,
  place,
  portsTo,
  type StepMembers,
  stepOf,
  takenIds,
  targetOf,
  waysInto,
  withStart,
} from './parts.ts'
import { placeSteps, settle } from './positions.ts'

/** Where a step is put. What led there leads to it, and it goes on to where that led. */
export type Place =
  /** On a way, which may end, may be an error's, or may lead into a body that is empty. */
  | { readonly at: 'way'; readonly from: string; readonly port: string }
  | { readonly at: 'after'; readonly step: string }
  /** Before a step, on all ways that lead to it. */
  | { readonly at: 'before'; readonly step: string }
  /** First of all steps. */
  | { readonly at: 'start' }
  /** First of the flow's error handlers. */
  | { readonly at: 'handlers' }
  /** Led to by nothing, unless it is the only one; its card stands where it is said. */
  | { readonly at: 'ground'; readonly card?: Point }

/**
 * Inserts a step. Nothing is changed where there is no such place, or where it would cut off what follows.
 *
 * @param members with an id that is not taken (`idFor`); ways that they have already stay, but for the main one
 */
export function insertStep(at: Place, members: StepMembers): Command {
  const isGround = at.at === 'ground'
  return guarded(
    (document) => {
      const ports = portsTo(String(members['type']), members, END)
      const after = put(document, at, { ...ports, ...members })
      if (after === document) return document
      if (!isGround) return settle(after, members.id)
      const isFirst = graphOf(document).start === null
      if (at.card === undefined || isFirst) return after
      return placeSteps(new Map([[members.id, at.card]]))(after)
    },
    isGround ? undefined : CUTS_OFF,
  )
}

/** Puts a step with its ways in place: its main one leads on. */
export function put(document: FlowDocument, at: Place, members: StepMembers): FlowDocument {
  const found = resolve(document, at)
  if (found === null || stepOf(document, members.id) !== null) return document
  const { lane, behind, to } = found
  const type = String(members['type'])
  const known = stepType(type)
  const main = known === null ? 'next' : known.mainPort
  let after = place(document, lane, main === null ? members : leadingOn(members, main, to), behind)
  for (const way of found.ways) after = lead(after, way, members.id)
  return found.isStart ? withStart(after, members.id) : after
}

/** No step is called so: what is put behind it is put last. */
const LAST = ''

interface Found {
  lane: 'steps' | 'error_handlers'
  /** In its list; null: it becomes the first. */
  behind: string | null
  ways: readonly { from: string; port: string }[]
  isStart: boolean
  to: string
}

function resolve(document: FlowDocument, at: Place): Found | null {
  const graph = graphOf(document)
  switch (at.at) {
    case 'start':
      return { lane: 'steps', behind: null, ways: [], isStart: true, to: graph.start ?? END }
    case 'handlers':
      return { lane: 'error_handlers', behind: null, ways: [], isStart: false, to: graph.handlers[0] ?? END }
    case 'ground':
      return { lane: 'steps', behind: LAST, ways: [], isStart: graph.start === null, to: END }
    case 'after': {
      const step = stepOf(document, at.step)
      const port = step && mainPortOf(step)
      return port === null ? null : resolve(document, { at: 'way', from: at.step, port })
    }
    case 'before': {
      const step = stepOf(document, at.step)
      if (step === null) return null
      const isStart = graph.start === at.step
      const ways = waysInto(document, at.step)
      const isFirst = graph.handlers[0] === at.step
      if (ways.length === 0 && !isStart && !isFirst) return null
      return { lane: laneOf(step), behind: before(document, at.step), ways, isStart, to: at.step }
    }
    case 'way': {
      const from = stepOf(document, at.from)
      const isThere = from !== null && (from.ports.includes(at.port) || isBodyWay(from.type, at.port))
      if (!isThere) return null
      const to = targetOf(document, at) ?? END
      // On the way to a handler it is one itself: none leads out of them.
      const lane = graph.steps.get(to)?.isHandler === true ? 'error_handlers' : laneOf(from)
      const behind = lane === laneOf(from) ? at.from : to
      return { lane, behind, ways: [at], isStart: false, to }
    }
  }
}

function isBodyWay(type: string, port: string): boolean {
  return port === 'body' && stepType(type)?.hasBody === true
}

/** The step above in its list. */
function before(document: FlowDocument, id: string): string | null {
  const steps = [...graphOf(document).steps.values()]
  const step = stepOf(document, id)
  const lane = steps.filter(({ isHandler }) => isHandler === step?.isHandler)
  return lane[lane.findIndex((each) => each.id === id) - 1]?.id ?? null
}

function leadingOn(members: StepMembers, port: string, to: string): StepMembers {
  return { ...members, [port === 'next' ? 'next' : `on_${port}`]: to }
}

/** An id for a new step, by its type or by its action. */
export function idFor(typeOrAction: string, document: FlowDocument): string {
  return freshId(typeOrAction, takenIds(document))
}

/** Returns a new step with what its type begins with. */
export function freshStep(type: string, id: string, members: Members = {}): StepMembers {
  return { id, type, ...stepType(type)?.fresh, ...members }
}

/** The last step of the chain that a step begins. */
export function endOfChain(document: FlowDocument, id: string): string {
  const seen = new Set([id])
  let last = id
  for (
    let next = followerOf(document, id);
    next !== null && next !== END;
    next = followerOf(document, next)
  ) {
    if (seen.has(next)) break
    seen.add(next)
    last = next
  }
  return last
}
