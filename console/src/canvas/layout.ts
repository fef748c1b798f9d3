import { Graph, layout as runDagre } from '@dagrejs/dagre'
import type { Point } from '../flow/document.ts'
import { END, type FlowEdge, type FlowGraph, type FlowStep, scopeOf } from '../flow/graph.ts'
import { CARD, FRAME, GAP, LANE_GAP, PILL, portX, TRIGGER } from './card.ts'

export interface Box {
  x: number
  y: number
  width: number
  height: number
}

/** Where a drawing begins, and how large it is. */
export interface Extent {
  left: number
  top: number
  width: number
  height: number
}

export interface FlowLayout extends Extent {
  /** Of every step, by its id; of a loop, its card at the head of the frame. */
  steps: ReadonlyMap<string, Box>
  frames: ReadonlyMap<string, Box>
  triggers: ReadonlyMap<string, Box>
  /** Where a way ends, by `pillId`. */
  pills: ReadonlyMap<string, Box>
  /** The ways out of each step from left to right, as they lead on. */
  ports: ReadonlyMap<string, readonly string[]>
  /** Where a way goes that passes other cards, by `wayId`. */
  routes: ReadonlyMap<string, readonly Point[]>
  /** Where the error handlers begin; null: there are none. */
  lane: Box | null
}

export function wayId({ from, port }: FlowEdge): string {
  return `${from} ${port}`
}

/** More ways that end would have no place beside one another. */
const PILLS_MAX = 3

/** The mark at which a way ends: each has its own, unless a step has many of them. */
export function pillId(graph: FlowGraph, { from, port }: FlowEdge): string {
  return endingWays(graph, from).length > PILLS_MAX ? `${from}!` : `${from}!${port}`
}

function endingWays(graph: FlowGraph, id: string): FlowEdge[] {
  return (graph.edgesFrom.get(id) ?? []).filter(({ to }) => to === END)
}

interface Placed {
  width: number
  height: number
  boxes: Map<string, Box>
  routes: Map<string, Point[]>
}

/** Places a flow from top to bottom: bodies of loops first, then the flow around them, its error handlers below. */
export function layoutFlow(graph: FlowGraph): FlowLayout {
  const frames = new Map<string, Placed>()
  const all = [...graph.steps.values()]
  const scopes = Map.groupBy(
    all.filter(({ isHandler }) => !isHandler),
    (step) => scopeOf(graph, step),
  )
  const main = scopes.get(null) ?? []
  for (const { id, body } of main) {
    if (body !== null) frames.set(id, placeScope(graph, scopes.get(id) ?? [], new Map()))
  }
  const lane = placeScope(
    graph,
    all.filter(({ isHandler }) => isHandler),
    new Map(),
  )
  return compose(graph, placeScope(graph, main, frames), lane, frames)
}

/** A loop is as large as its body, with its card above. */
function frameSize(body: Placed): { width: number; height: number } {
  return {
    width: Math.max(CARD.width, body.width) + 2 * FRAME.padding,
    height: CARD.height + FRAME.gap + body.height + FRAME.padding + FRAME.below,
  }
}

/** Places steps that stand in one another's way: those of a body, of the flow itself, or the error handlers. */
function placeScope(
  graph: FlowGraph,
  steps: readonly FlowStep[],
  frames: ReadonlyMap<string, Placed>,
): Placed {
  const boxes = new Map<string, Box>()
  if (steps.length === 0) return { width: 0, height: 0, boxes, routes: new Map() }
  const ids = new Set(steps.map(({ id }) => id))
  const sizeOf = (id: string): { width: number; height: number } => {
    const body = frames.get(id)
    return body === undefined ? CARD : frameSize(body)
  }
  const ways = steps.flatMap(({ id }) =>
    (graph.edgesFrom.get(id) ?? []).filter(({ port }) => port !== 'body'),
  )
  const inner = ways.filter(({ to }) => ids.has(to))
  const chains = findChains(steps, inner)
  const chainOf = new Map(chains.flatMap((chain) => chain.map((id) => [id, chain[0] ?? id] as const)))
  const dagre = new Graph({ multigraph: true })
  dagre.setGraph({ rankdir: 'TB', nodesep: GAP.across, ranksep: GAP.down, ranker: 'longest-path' })
  dagre.setDefaultEdgeLabel(() => ({}))
  for (const chain of chains) {
    const sizes = chain.map(sizeOf)
    const height = sizes.reduce((sum, size) => sum + size.height, 0) + (chain.length - 1) * GAP.down
    dagre.setNode(chain[0] ?? '', { width: Math.max(...sizes.map(({ width }) => width)), height })
  }
  for (const way of inner) {
    const from = chainOf.get(way.from) ?? way.from
    const to = chainOf.get(way.to) ?? way.to
    if (to !== from) dagre.setEdge(from, to, {}, way.port)
  }
  runDagre(dagre)
  const chainsByHead = new Map(chains.map((chain) => [chain[0] ?? '', chain]))
  for (const id of dagre.nodes()) {
    const { x = 0, y = 0, height = 0 } = dagre.node(id) as Partial<Box>
    let top = y - height / 2
    for (const step of chainsByHead.get(id) ?? []) {
      const size = sizeOf(step)
      boxes.set(step, { x: x - size.width / 2, y: top, width: size.width, height: size.height })
      top += size.height + GAP.down
    }
  }
  const routes = new Map<string, Point[]>()
  for (const edge of dagre.edges()) {
    const { points } = dagre.edge(edge) as { points?: Point[] }
    const way = inner.find(({ from, port }) => port === edge.name && chainOf.get(from) === edge.v)
    if (way !== undefined && points !== undefined) routes.set(wayId(way), points.slice(1, -1))
  }
  return shifted(boxes, routes)
}

/** Steps that lead to one another and nowhere else are placed as one: a long flow is mostly such. */
function findChains(steps: readonly FlowStep[], inner: readonly FlowEdge[]): string[][] {
  const into = Map.groupBy(inner, ({ to }) => to)
  const out = Map.groupBy(inner, ({ from }) => from)
  const follower = (id: string): string | null => {
    const [only, second] = out.get(id) ?? []
    const isOnly = only !== undefined && second === undefined
    return isOnly && only.to !== id && into.get(only.to)?.length === 1 ? only.to : null
  }
  const followed = new Set(steps.flatMap(({ id }) => follower(id) ?? []))
  const chains: string[][] = []
  const taken = new Set<string>()
  // A circle, which only a draft may have, has no head: its steps are begun anywhere.
  for (const { id } of [...steps.filter((step) => !followed.has(step.id)), ...steps]) {
    const chain: string[] = []
    for (let at: string | null = id; at !== null && !taken.has(at); at = follower(at)) {
      taken.add(at)
      chain.push(at)
    }
    if (chain.length > 0) chains.push(chain)
  }
  return chains
}

function shifted(boxes: ReadonlyMap<string, Box>, routes: ReadonlyMap<string, Point[]>): Placed {
  const all = [...boxes.values()]
  const left = all.reduce((least, { x }) => Math.min(least, x), Infinity)
  const top = all.reduce((least, { y }) => Math.min(least, y), Infinity)
  const moved = new Map(
    [...boxes].map(([id, box]) => [id, { ...box, x: Math.round(box.x - left), y: Math.round(box.y - top) }]),
  )
  return {
    width: all.reduce((most, { x, width }) => Math.max(most, x - left + width), 0),
    height: all.reduce((most, { y, height }) => Math.max(most, y - top + height), 0),
    boxes: moved,
    routes: movedRoutes(routes, -left, -top),
  }
}

/** Below the port that ends, in the gap that is there anyway. */
function placePills(
  graph: FlowGraph,
  id: string,
  box: Box,
  ports: readonly string[],
  pills: Map<string, Box>,
): void {
  const y = box.y + box.height + (GAP.down - PILL.height) / 2
  for (const way of endingWays(graph, id)) {
    const pill = pillId(graph, way)
    const middle = pill.endsWith('!')
      ? box.width / 2
      : portX(ports.indexOf(way.port), ports.length, box.width)
    pills.set(pill, { ...PILL, x: Math.round(box.x + middle - PILL.width / 2), y })
  }
}

/** The ways out that lead somewhere, in the order of where, so that they do not cross; those that end are on the right. */
function orderPorts(
  graph: FlowGraph,
  { id, ports }: FlowStep,
  boxes: ReadonlyMap<string, Box>,
  routes: ReadonlyMap<string, readonly Point[]>,
): string[] {
  const xOf = (port: string): number => {
    const way = graph.edgesFrom.get(id)?.find((each) => each.port === port)
    const box = way === undefined ? undefined : boxes.get(way.to)
    if (way === undefined || box === undefined) return Infinity
    return routes.get(wayId(way))?.[0]?.x ?? box.x + box.width / 2
  }
  const leading = ports.filter((port) => graph.edgesFrom.get(id)?.some((way) => way.port === port))
  const xs = new Map(leading.map((port) => [port, xOf(port)]))
  return leading.sort((one, other) => {
    const [a = Infinity, b = Infinity] = [xs.get(one), xs.get(other)]
    return a === b ? 0 : a - b
  })
}

/** Where the ways out of each card begin, and where those end that lead nowhere. */
export function placeEnds(
  graph: FlowGraph,
  steps: ReadonlyMap<string, Box>,
  frames: ReadonlyMap<string, Box>,
  routes: FlowLayout['routes'],
): Pick<FlowLayout, 'pills' | 'ports'> {
  const pills = new Map<string, Box>()
  const ports = new Map<string, string[]>()
  const outer = new Map([...steps, ...frames])
  for (const step of graph.steps.values()) {
    const box = outer.get(step.id)
    if (box === undefined) continue
    const order = orderPorts(graph, step, outer, routes)
    ports.set(step.id, order)
    placePills(graph, step.id, box, order, pills)
  }
  return { pills, ports }
}

function movedRoutes(routes: ReadonlyMap<string, Point[]>, dx: number, dy: number): Map<string, Point[]> {
  return new Map(
    [...routes].map(([way, points]) => [way, points.map(({ x, y }) => ({ x: x + dx, y: y + dy }))]),
  )
}

function compose(
  graph: FlowGraph,
  main: Placed,
  lane: Placed,
  bodies: ReadonlyMap<string, Placed>,
): FlowLayout {
  const steps = new Map<string, Box>()
  const frames = new Map<string, Box>()
  const routes = new Map<string, Point[]>()
  const route = (scope: Placed, dx: number, dy: number): void => {
    for (const [way, points] of movedRoutes(scope.routes, dx, dy)) routes.set(way, points)
  }
  const put = (id: string, box: Box): void => {
    steps.set(id, box)
  }
  const count = graph.triggers.length
  const triggersWidth = count * TRIGGER.width + Math.max(0, count - 1) * GAP.across
  const top = count === 0 ? 0 : TRIGGER.height + GAP.down
  route(main, 0, top)
  for (const [id, box] of main.boxes) {
    const placed = { ...box, y: box.y + top }
    const body = bodies.get(id)
    if (body === undefined) {
      put(id, placed)
      continue
    }
    frames.set(id, placed)
    steps.set(id, { ...CARD, x: placed.x + (placed.width - CARD.width) / 2, y: placed.y + FRAME.padding })
    const x = placed.x + (placed.width - body.width) / 2
    const y = placed.y + FRAME.padding + CARD.height + FRAME.gap
    route(body, x, y)
    for (const [inside, at] of body.boxes) put(inside, { ...at, x: at.x + x, y: at.y + y })
  }
  const laneTop = top + main.height + LANE_GAP
  route(lane, FRAME.padding, laneTop + FRAME.padding)
  for (const [id, box] of lane.boxes)
    put(id, { ...box, x: box.x + FRAME.padding, y: box.y + laneTop + FRAME.padding })
  const first = graph.start === null ? undefined : (frames.get(graph.start) ?? steps.get(graph.start))
  const middle = first === undefined ? triggersWidth / 2 : first.x + first.width / 2
  const triggers = new Map(
    graph.triggers.map(({ id }, index) => {
      const x = middle - triggersWidth / 2 + index * (TRIGGER.width + GAP.across)
      return [id, { ...TRIGGER, x, y: 0 }]
    }),
  )
  const laneBox = {
    x: 0,
    y: laneTop,
    width: lane.width + 2 * FRAME.padding,
    height: lane.height + 2 * FRAME.padding,
  }
  const hasLane = lane.boxes.size > 0
  return {
    steps,
    frames,
    triggers,
    ...placeEnds(graph, steps, frames, routes),
    routes,
    lane: hasLane ? laneBox : null,
    left: 0,
    top: 0,
    width: Math.max(main.width, triggersWidth, hasLane ? laneBox.width : 0),
    height: hasLane ? laneTop + laneBox.height : top + main.height,
  }
}

/** What a layout depends on, as text: flows with the same one are laid out the same. */
export function shapeOf({ triggers, start, steps, edges }: FlowGraph): string {
  const cards = [...steps.values()].map(({ id, ports, isHandler, loop, body }) => [
    id,
    ports,
    isHandler,
    loop,
    body,
  ])
  return JSON.stringify([triggers.map(({ id }) => id), start, cards, edges])
}
