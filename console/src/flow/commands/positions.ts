import { CARD, GAP } from '../../canvas/card.ts'
import type { Command, FlowDocument, Point } from '../document.ts'
import { graphOf } from '../document.ts'
import { END, hasBody } from '../graph.ts'
import { bodyOf, followerOf, stepOf, waysInto, withLayout } from './parts.ts'
import { withoutPlaces } from './remove.ts'

const STEP_DOWN = CARD.height + GAP.down

/** Says where cards of steps stand; what is no step has none. */
export function placeSteps(places: ReadonlyMap<string, Point>): Command {
  return (document) => {
    const { positions } = document.layout
    const changed = [...places].filter(([id, { x, y }]) => {
      const now = Object.hasOwn(positions, id) ? positions[id] : undefined
      return stepOf(document, id) !== null && (now?.x !== x || now.y !== y)
    })
    if (changed.length === 0) return document
    return withLayout(document, { positions: { ...positions, ...Object.fromEntries(changed) } })
  }
}

/** Forgets where cards were put: all of them are laid out anew. */
export function tidy(): Command {
  return (document) => {
    const isTidy = Object.keys(document.layout.positions).length === 0
    return isTidy ? document : withLayout(document, { positions: {} })
  }
}

/**
 * Gives a step that was put between others its place among them, if those were placed by hand: what stands there makes
 * room. Else the canvas finds its place.
 */
export function settle(document: FlowDocument, id: string): FlowDocument {
  const free = withoutPlaces(document, new Set([id, ...bodyOf(document, id)]))
  const { positions } = free.layout
  if (Object.keys(positions).length === 0) return free
  const before = waysInto(free, id).find(({ from }) => {
    // Below a loop its frame stands, whose height is the canvas's.
    return Object.hasOwn(positions, from) && !hasBody(stepOf(free, from)?.type)
  })
  const above = before === undefined ? undefined : positions[before.from]
  const follower = followerOf(free, id)
  const below = follower === null || !Object.hasOwn(positions, follower) ? undefined : positions[follower]
  const place = above === undefined ? below : { x: below?.x ?? above.x, y: above.y + STEP_DOWN }
  return place === undefined ? free : placeSteps(new Map([[id, place]]))(withRoom(free, id, place))
}

/** Moves what the step leads to down, if its card would stand on another one. */
function withRoom(document: FlowDocument, id: string, { x, y }: Point): FlowDocument {
  const others = Object.entries(document.layout.positions)
  const isTaken = others.some(([, at]) => Math.abs(at.x - x) < CARD.width && Math.abs(at.y - y) < CARD.height)
  if (!isTaken) return document
  const following = stepsBehind(document, id)
  const moved = others.flatMap(([other, at]) =>
    following.has(other) && at.y > y - CARD.height
      ? [[other, { x: at.x, y: at.y + STEP_DOWN }] as const]
      : [],
  )
  return placeSteps(new Map(moved))(document)
}

function stepsBehind(document: FlowDocument, id: string): ReadonlySet<string> {
  const { edgesFrom } = graphOf(document)
  const behind = new Set<string>()
  const add = (from: string): void => {
    for (const { to } of edgesFrom.get(from) ?? []) if (to !== END && to !== id) behind.add(to)
  }
  add(id)
  for (const each of behind) add(each)
  return behind
}
