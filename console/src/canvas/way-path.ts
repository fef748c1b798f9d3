import type { Point } from '../flow/document.ts'
import { GAP } from './card.ts'

/** Less is no way down: cards that were put by hand may stand so. */
const LEAST_DOWN = 24

/** A way from a card down to another: straight down beside the cards that it passes, and only then across. */
export function wayPath(from: Point, to: Point, route: readonly Point[]): string {
  const isNear = to.y - from.y < 2 * GAP.down || route.length === 0
  if (isNear) return `M${from.x},${from.y}${curve(from, to)}`
  const first = { x: route[0]?.x ?? from.x, y: from.y + GAP.down }
  const last = { x: route.at(-1)?.x ?? to.x, y: to.y - GAP.down }
  const points = [first, ...route.filter(({ y }) => y > first.y && y < last.y), last, to]
  let at = from
  let path = `M${from.x},${from.y}`
  for (const point of points) {
    path += curve(at, point)
    at = point
  }
  return path
}

function curve(from: Point, to: Point): string {
  if (Math.abs(from.x - to.x) < 1 && to.y >= from.y) return `L${to.x},${to.y}`
  // What leads up leaves its card below all the same.
  if (to.y - from.y < LEAST_DOWN) {
    return `C${from.x},${from.y + GAP.down} ${to.x},${to.y - GAP.down} ${to.x},${to.y}`
  }
  const middle = (from.y + to.y) / 2
  return `C${from.x},${middle} ${to.x},${middle} ${to.x},${to.y}`
}
