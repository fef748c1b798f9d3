import { END, type FlowGraph, type FlowStep, scopeOf } from '../flow/graph.ts'
import { FRAME, GAP, LANE_GAP, TRIGGER } from './card.ts'
import { type Box, type FlowLayout, placeEnds, wayId } from './layout.ts'

type Places = Readonly<Record<string, { readonly x: number; readonly y: number }>>

/** What has its place as one: a card, or a loop with its body. */
interface Unit {
  boxes: Map<string, Box>
  frame: Box | null
  /** One of its cards was put there by hand. */
  isPlaced: boolean
}

/** Closer to one another cards are as good as on one another. */
const LEAST_GAP = 12

/** Lays out a flow of which some cards were put by hand: those stand there, and the others around them. */
export function arrangeFlow(graph: FlowGraph, auto: FlowLayout, places: Places): FlowLayout {
  const all = [...graph.steps.values()]
  if (!all.some(({ id }) => Object.hasOwn(places, id))) return auto
  const scopes = Map.groupBy(
    all.filter(({ isHandler }) => !isHandler),
    (step) => scopeOf(graph, step),
  )
  const main = (scopes.get(null) ?? []).map(({ id }) => unitOf(id, scopes.get(id) ?? [], auto, places))
  settleAround(main, [])
  const end = main.reduce((most, unit) => Math.max(most, bottomOf(outerOf(unit))), -Infinity)
  const handlers = all.filter(({ isHandler }) => isHandler).map(({ id }) => unitOf(id, [], auto, places))
  const down = auto.lane === null ? 0 : Math.max(0, end + LANE_GAP - auto.lane.y)
  for (const unit of handlers) if (!unit.isPlaced) shift(unit, 0, down)
  settleAround(handlers, main.map(outerOf))
  return compose(graph, auto, [...main, ...handlers], handlers)
}

function unitOf(id: string, body: readonly FlowStep[], auto: FlowLayout, places: Places): Unit {
  const own = auto.steps.get(id) ?? { x: 0, y: 0, width: 0, height: 0 }
  const frame = auto.frames.get(id) ?? null
  const isPlaced = Object.hasOwn(places, id)
  const head = { ...own, ...(isPlaced && pointOf(places, id)) }
  const unit: Unit = { boxes: new Map([[id, head]]), frame: null, isPlaced }
  if (frame === null) return unit
  const inside = body.map((step): Unit => {
    const box = auto.steps.get(step.id) ?? own
    const isOwn = Object.hasOwn(places, step.id)
    // Where a loop goes, what stands in it goes along.
    const moved = isOwn
      ? { ...box, ...pointOf(places, step.id) }
      : { ...box, x: box.x + head.x - own.x, y: box.y + head.y - own.y }
    return { boxes: new Map([[step.id, moved]]), frame: null, isPlaced: isOwn }
  })
  settleAround(inside, [head])
  for (const each of inside) for (const [step, box] of each.boxes) unit.boxes.set(step, box)
  unit.isPlaced = isPlaced || inside.some((each) => each.isPlaced)
  const { padding, below } = FRAME
  const around = boundsOf([...unit.boxes.values()])
  const width = Math.max(around.width + 2 * padding, frame.width)
  unit.frame = {
    x: around.x - (width - around.width) / 2,
    y: around.y - padding,
    width,
    height: around.height + 2 * padding + below,
  }
  return unit
}

function pointOf(places: Places, id: string): { x: number; y: number } {
  return { x: places[id]?.x ?? 0, y: places[id]?.y ?? 0 }
}

/** What was put stays; the rest, from above, goes down until nothing stands there. */
function settleAround(units: readonly Unit[], others: readonly Box[]): void {
  const taken = [...others, ...units.filter(({ isPlaced }) => isPlaced).map(outerOf)]
  const free = units.filter(({ isPlaced }) => !isPlaced)
  for (const unit of free.sort((one, other) => outerOf(one).y - outerOf(other).y)) {
    for (let at = outerOf(unit), hit = hitBy(at, taken); hit !== undefined; hit = hitBy(at, taken)) {
      shift(unit, 0, bottomOf(hit) + GAP.down - at.y)
      at = outerOf(unit)
    }
    taken.push(outerOf(unit))
  }
}

function hitBy(box: Box, taken: readonly Box[]): Box | undefined {
  return taken.find(
    (each) =>
      box.x < each.x + each.width + LEAST_GAP &&
      each.x < box.x + box.width + LEAST_GAP &&
      box.y < bottomOf(each) + LEAST_GAP &&
      each.y < bottomOf(box) + LEAST_GAP,
  )
}

function shift(unit: Unit, dx: number, dy: number): void {
  const moved = (box: Box): Box => ({ ...box, x: box.x + dx, y: box.y + dy })
  for (const [id, box] of unit.boxes) unit.boxes.set(id, moved(box))
  if (unit.frame !== null) unit.frame = moved(unit.frame)
}

function outerOf({ boxes, frame }: Unit): Box {
  return frame ?? boundsOf([...boxes.values()])
}

function bottomOf({ y, height }: Box): number {
  return y + height
}

function boundsOf(boxes: readonly Box[]): Box {
  const x = Math.min(...boxes.map((box) => box.x))
  const y = Math.min(...boxes.map((box) => box.y))
  const right = Math.max(...boxes.map((box) => box.x + box.width))
  return { x, y, width: right - x, height: Math.max(...boxes.map(bottomOf)) - y }
}

function compose(
  graph: FlowGraph,
  auto: FlowLayout,
  units: readonly Unit[],
  handlers: readonly Unit[],
): FlowLayout {
  const steps = new Map(units.flatMap(({ boxes }) => [...boxes]))
  const frames = new Map(
    units.flatMap(({ boxes, frame }) => {
      const [loop] = boxes.keys()
      return frame === null || loop === undefined ? [] : [[loop, frame] as const]
    }),
  )
  const isWhere = (id: string): boolean => {
    const [now, before] = [frames.get(id) ?? steps.get(id), auto.frames.get(id) ?? auto.steps.get(id)]
    return now?.x === before?.x && now?.y === before?.y
  }
  const routes = new Map(
    graph.edges.flatMap((way) => {
      const route = auto.routes.get(wayId(way))
      // Ways around cards hold where their ends are still there.
      const holds = route !== undefined && way.to !== END && isWhere(way.from) && isWhere(way.to)
      return holds ? [[wayId(way), route] as const] : []
    }),
  )
  const ends = placeEnds(graph, steps, frames, routes)
  const lane = handlers.length === 0 ? null : padded(boundsOf(handlers.map(outerOf)))
  const triggers = placeTriggers(graph, auto, frames.get(graph.start ?? '') ?? steps.get(graph.start ?? ''))
  const all = [...steps.values(), ...frames.values(), ...triggers.values(), ...(lane === null ? [] : [lane])]
  const { x: left, y: top, width, height } = boundsOf(all)
  return { steps, frames, triggers, ...ends, routes, lane, left, top, width, height }
}

function padded({ x, y, width, height }: Box): Box {
  const { padding } = FRAME
  return { x: x - padding, y: y - padding, width: width + 2 * padding, height: height + 2 * padding }
}

/** Above the step with which the flow begins. */
function placeTriggers(graph: FlowGraph, auto: FlowLayout, first: Box | undefined): ReadonlyMap<string, Box> {
  if (first === undefined) return auto.triggers
  const before = auto.frames.get(graph.start ?? '') ?? auto.steps.get(graph.start ?? '') ?? first
  const dx = first.x + first.width / 2 - before.x - before.width / 2
  const dy = first.y - GAP.down - TRIGGER.height
  return new Map([...auto.triggers].map(([id, box]) => [id, { ...box, x: box.x + dx, y: dy }]))
}
