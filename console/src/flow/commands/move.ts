import type { Command, FlowDocument } from '../document.ts'
import { graphOf } from '../document.ts'
import { END, type Members } from '../graph.ts'
import { CUTS_OFF, guarded } from './faults.ts'
import { type Place, put } from './insert.ts'
import {
  bodyOf,
  followerOf,
  laneOf,
  mainPortOf,
  place,
  type StepMembers,
  stepOf,
  takeOut,
  targetOf,
  waysInto,
} from './parts.ts'
import { settle } from './positions.ts'
import { heal } from './remove.ts'

/**
 * Moves a step with what hangs on its other ways, a loop with its body. What led to it goes on to what followed it.
 * Nothing is changed where steps would lead back, be cut off, or come into a loop by another way.
 */
export function moveStep(id: string, at: Place): Command {
  return guarded((document) => {
    const step = stepOf(document, id)
    if (
      step === null ||
      ('step' in at && at.step === id) ||
      (at.at === 'way' && at.from === id && at.port !== 'body')
    )
      return document
    if (isThere(document, id, at)) return document
    const members = step.members as StepMembers
    const follower = followerOf(document, id)
    const without = takeOut(heal(document, id, follower === END ? null : follower), new Set([id]))
    const moved = put(without, at, members)
    return stepOf(moved, id) === null ? document : settle(keepBody(moved, document, id), id)
  }, CUTS_OFF)
}

/** One up in its chain: before the step that leads to it. */
export function moveUp(id: string): Command {
  return (document) => {
    const [way, other] = waysInto(document, id)
    if (way === undefined || other !== undefined || way.port === 'body') return document
    return moveStep(id, { at: 'before', step: way.from })(document)
  }
}

/** One down in its chain: behind the step that it leads to. */
export function moveDown(id: string): Command {
  return (document) => {
    const next = followerOf(document, id)
    const step = next === null || next === END ? null : stepOf(document, next)
    const port = step && mainPortOf(step)
    if (next === null || port === null) return document
    return moveStep(id, { at: 'way', from: next, port })(document)
  }
}

function isThere(document: FlowDocument, id: string, at: Place): boolean {
  if (at.at === 'start') return graphOf(document).start === id
  if (at.at === 'way') return targetOf(document, at) === id
  return at.at === 'after' && followerOf(document, at.step) === id
}

/** In their list the steps of a body stay behind their loop. */
function keepBody(moved: FlowDocument, before: FlowDocument, loop: string): FlowDocument {
  const inside = bodyOf(before, loop)
  if (inside.length === 0) return moved
  let after = takeOut(moved, new Set(inside))
  let behind = loop
  for (const id of inside) {
    const step = stepOf(moved, id)
    if (step === null) continue
    after = place(after, laneOf(step), step.members as Members & { id: string }, behind)
    behind = id
  }
  return after
}
