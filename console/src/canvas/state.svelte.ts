import { getContext, setContext } from 'svelte'
import type { Point } from '../flow/document.ts'
import { END, type FlowGraph, hasBody } from '../flow/graph.ts'
import type { Note } from '../flow/notes.ts'
import { EdgePan } from './edge-pan.ts'
import { type Extent, type FlowLayout, pillId, wayId } from './layout.ts'
import { NOTHING, type Painting } from './painting.ts'

/** A way out of a step. */
interface WayOut {
  from: string
  port: string
}

/** Lets people draw ways. */
export interface Connecting {
  /** By step, why a way may not lead to it; null: it may. */
  reasons: (way: WayOut) => ReadonlyMap<string, string | null>
  /** @param to a step, or `end` */
  connect: (way: WayOut, to: string) => void
}

/** What is carried over the canvas: a step of the flow, or one that is to be. */
export type Carried =
  | { kind: 'step'; id: string }
  | { kind: 'new'; type: string; members: Readonly<Record<string, unknown>>; label: string }

/** Where it may be let go. */
export type Target =
  | { on: 'way'; from: string; port: string }
  | { on: 'start' }
  /** In places of the canvas. */
  | { on: 'ground'; x: number; y: number }

/** What can be done on a canvas that is edited. */
export interface Editing extends Connecting {
  /** Asks for a step to be put on a way. */
  insert: (from: string, port: string) => void
  mayDrop: (what: Carried, on: Target) => boolean
  drop: (what: Carried, on: Target) => void
  /** Says where cards and notes stand now. */
  place: (steps: ReadonlyMap<string, Point>, notes: ReadonlyMap<string, Point>) => void
  /** Selects several steps; of one, that one. */
  mark: (ids: readonly string[]) => void
  openMenu: (id: string, at: Point) => void
  selectNote: (id: string | null) => void
}

/** The part of the flow that is shown. */
interface View {
  toFlow: (at: Point) => Point
  centre: () => Point
  /** Of the part of the drawing that is in the window; null: it is not in the page. */
  bounds: () => { left: number; top: number; right: number; bottom: number } | null
  /** Where the flow's own place 0, 0 is in it, in pixels of the window. */
  offset: () => Point
  panTo: (offset: Point) => void
  /** Shows another part, if there is a key for it. */
  byKey: (key: string) => boolean
}

export const START_KEY = 'start!'
/** Cards stand on it. */
const GRID = 8
const snapped = (value: number): number => Math.round(value / GRID) * GRID

/** Canvases that show the same part, each of its own flow. */
export class TogetherView {
  /** Null until one of them is shown. */
  viewport = $state.raw<{ x: number; y: number; zoom: number } | null>(null)
  /** The one that says where they begin. */
  leader: CanvasState | null = null
  /** Of all of them. */
  extent = $state.raw<Extent | null>(null)
}

/** What cards and ways look at, so that an update redraws those that it is about and no other. */
export class CanvasState {
  painting = $state.raw<Painting>(NOTHING)
  selected = $state<string | null>(null)
  /** Steps that are selected beside one another; empty: no more than one is. */
  marked = $state.raw<ReadonlySet<string>>(new Set())
  selectedNote = $state<string | null>(null)
  select: (id: string) => void = () => undefined
  /** Null: the flow is only looked at. */
  editing = $state.raw<Editing | null>(null)
  /** The way that is being drawn, in places of the window. */
  drawn = $state.raw<{ way: WayOut; start: Point; end: Point } | null>(null)
  /** The way that is led elsewhere by keyboard, and where. */
  aimed = $state.raw<{ way: WayOut; to: string } | null>(null)
  /** What is carried from the palette, in places of the window. */
  carried = $state.raw<{ what: Carried; at: Point } | null>(null)
  /** The way that it would be let go on. */
  target = $state.raw<{ key: string; isRefused: boolean } | null>(null)
  /** Cards that are being moved, by how much. */
  moving = $state.raw<{
    steps: ReadonlySet<string>
    notes: ReadonlySet<string>
    dx: number
    dy: number
  } | null>(null)
  graph: FlowGraph | null = null
  layout: FlowLayout | null = null
  notes: readonly Note[] = []
  /** Of cards that were put by hand. */
  positions: Readonly<Record<string, Point>> = {}
  view: View | null = null
  together: TogetherView | null = null
  readonly #edge = new EdgePan(() => this.view)
  /** Where a card that is moved was taken up, in places of the flow. */
  #liftedAt: Point = { x: 0, y: 0 }
  /** While a way is drawn: by step, why it may not lead there. */
  readonly #leadingFrom = $derived.by(() => {
    const way = this.drawn?.way ?? this.aimed?.way
    return way === undefined ? null : wayId({ ...way, to: END })
  })
  readonly reasons = $derived.by(() => {
    const way = this.#leadingFrom
    if (way === null || this.editing === null) return null
    // Ids have no blanks, as the cases of a switch may.
    const at = way.indexOf(' ')
    return this.editing.reasons({ from: way.slice(0, at), port: way.slice(at + 1) })
  })

  isMarked(id: string): boolean {
    return this.marked.size > 0 ? this.marked.has(id) : this.selected === id
  }

  /** Takes a step to those that are selected, or from them. */
  toggle(id: string): void {
    const marked = new Set(this.marked.size > 0 ? this.marked : this.selected === null ? [] : [this.selected])
    if (!marked.delete(id)) marked.add(id)
    this.editing?.mark([...marked])
  }

  /** Draws a way from its port. */
  draw(way: WayOut, start: Point, end: Point): void {
    this.drawn = { way, start, end }
    this.#edge.hold(end, ({ x, y }) => {
      const from = this.drawn?.start ?? start
      this.drawn = { way, start: { x: from.x + x, y: from.y + y }, end }
    })
  }

  /** Leads the way that is drawn to the card, or to the end, that is there. */
  dropDrawn({ x, y }: Point): void {
    const way = this.drawn?.way
    const element = document.elementFromPoint(x, y)
    this.drawn = null
    this.#edge.letGo()
    const isEnd = element?.closest('.svelte-flow__node-pill') != null
    const to = isEnd ? END : element?.closest<HTMLElement>('[data-step]')?.dataset['step']
    if (way !== undefined && to !== undefined) this.editing?.connect(way, to)
  }

  /** Begins to move a card, with all that are selected beside it. */
  liftStep(id: string, at: Point): void {
    const steps = this.marked.has(id) ? this.marked : new Set([id])
    this.#liftedAt = this.view?.toFlow(at) ?? at
    this.moving = { steps, notes: new Set(), dx: 0, dy: 0 }
  }

  liftNote(id: string, at: Point): void {
    this.#liftedAt = this.view?.toFlow(at) ?? at
    this.moving = { steps: new Set(), notes: new Set([id]), dx: 0, dy: 0 }
  }

  moveTo(now: Point): void {
    if (this.moving === null) return
    const [first] = [...this.moving.steps]
    const [note] = [...this.moving.notes]
    const box = this.layout?.steps.get(first ?? '') ??
      this.notes.find(({ id }) => id === note) ?? { x: 0, y: 0 }
    const at = this.view?.toFlow(now) ?? now
    const dx = snapped(box.x + at.x - this.#liftedAt.x) - box.x
    const dy = snapped(box.y + at.y - this.#liftedAt.y) - box.y
    this.moving = { ...this.moving, dx, dy }
    const what = this.#movedStep
    if (what !== null) this.#aimAt(what, this.#targetAt(now, what.id))
    this.#edge.hold(now, () => this.moveTo(now))
  }

  /** Lets go of what is moved: on a way, or where it is. Outside of the canvas it comes to nothing. */
  dropMoved(at: Point): void {
    const isOutside = !document.elementsFromPoint(at.x, at.y).some((each) => each.matches('.svelte-flow'))
    const { moving } = this
    const what = this.#movedStep
    const target = what === null ? null : this.#targetAt(at, what.id)
    if (isOutside) this.cancel()
    else this.letGo()
    if (moving === null || isOutside) return
    if (what !== null && target !== null && target.on !== 'ground') this.editing?.drop(what, target)
    else this.#place(moving)
  }

  /** A step that is moved alone may be put on another way. */
  get #movedStep(): { kind: 'step'; id: string } | null {
    const [id, second] = [...(this.moving?.steps ?? [])]
    return id === undefined || second !== undefined ? null : { kind: 'step', id }
  }

  #place({ steps, notes, dx, dy }: NonNullable<CanvasState['moving']>): void {
    const placed = new Map<string, Point>()
    for (const id of steps) {
      const box = this.layout?.steps.get(id)
      if (box !== undefined) placed.set(id, { x: snapped(box.x + dx), y: snapped(box.y + dy) })
    }
    // In a loop that goes elsewhere goes along what was put there.
    for (const { id, loop } of this.graph?.steps.values() ?? []) {
      const box = this.layout?.steps.get(id)
      const isAlong = loop !== null && steps.has(loop) && !steps.has(id) && Object.hasOwn(this.positions, id)
      if (isAlong && box !== undefined) placed.set(id, { x: snapped(box.x + dx), y: snapped(box.y + dy) })
    }
    const moved = this.notes.filter(({ id }) => notes.has(id))
    const noted = moved.map(({ id, x, y }) => [id, { x: snapped(x + dx), y: snapped(y + dy) }] as const)
    if (placed.size > 0 || noted.length > 0) this.editing?.place(placed, new Map(noted))
  }

  /** Moves cards by keyboard: the note that is selected, or these steps. */
  nudge(steps: readonly string[], dx: number, dy: number): void {
    const note = this.selectedNote
    const what =
      note === null
        ? { steps: new Set(steps), notes: new Set<string>() }
        : { steps: new Set<string>(), notes: new Set([note]) }
    this.#place({ ...what, dx: dx * GRID, dy: dy * GRID })
  }

  /** Carries what is to be a step. */
  carry(what: Carried, at: Point): void {
    this.carried = { what, at }
    this.#aimAt(what, this.#targetAt(at, null))
    this.#edge.hold(at, () => this.carry(what, at), true)
  }

  /** Lets go of what is carried; outside of the canvas it comes to nothing. */
  dropCarried(at: Point): void {
    const { carried } = this
    const target = this.#targetAt(at, null)
    if (target === null) this.cancel()
    else this.letGo()
    if (carried !== null && target !== null) this.editing?.drop(carried.what, target)
  }

  /** What is held comes to nothing, and the flow is shown as it was before. */
  cancel(): void {
    this.#edge.goBack()
    this.letGo()
  }

  letGo(): void {
    this.#edge.letGo()
    this.drawn = null
    this.carried = null
    this.moving = null
    this.target = null
  }

  #aimAt(what: Carried, on: Target | null): void {
    const key =
      on === null || on.on === 'ground' ? null : on.on === 'start' ? START_KEY : `${on.from} ${on.port}`
    if (key === (this.target?.key ?? null)) return
    this.target =
      key === null || on === null ? null : { key, isRefused: this.editing?.mayDrop(what, on) !== true }
  }

  /** @param moved the step whose card is under the pointer anyway, with the ways that hang on it */
  #targetAt({ x, y }: Point, moved: string | null): Target | null {
    for (const element of document.elementsFromPoint(x, y)) {
      const way = this.#wayAt(element, moved)
      if (way !== null) return way
      if (element.closest('.svelte-flow__panel') !== null) return null
      if (element.matches('.svelte-flow')) {
        const at = this.view?.toFlow({ x, y }) ?? { x: 0, y: 0 }
        return { on: 'ground', x: snapped(at.x), y: snapped(at.y) }
      }
    }
    return null
  }

  #wayAt(element: Element, moved: string | null): Target | null {
    const pill = element.closest<HTMLElement>('.svelte-flow__node-pill')?.dataset['id']
    if (pill !== undefined) {
      const way = this.endingAt(pill)
      return way === null || way.from === moved ? null : { on: 'way', ...way }
    }
    const step = element.closest<HTMLElement>('[data-step]')?.dataset['step']
    const card = step === undefined || step === moved ? undefined : this.graph?.steps.get(step)
    // A loop with nothing in it takes its first step up itself.
    if (card !== undefined && hasBody(card.type) && card.body === null) {
      return { on: 'way', from: card.id, port: 'body' }
    }
    const key = element instanceof SVGElement ? element.dataset['near'] : undefined
    if (key === START_KEY) return { on: 'start' }
    const way = this.graph?.edges.find((each) => wayId(each) === key)
    if (way === undefined || (moved !== null && (way.from === moved || way.to === moved))) return null
    return { on: 'way', from: way.from, port: way.port }
  }

  /** The first of the ways that end at a mark. */
  endingAt(pill: string): WayOut | null {
    const { graph } = this
    const way = graph?.edges.find((each) => each.to === END && pillId(graph, each) === pill)
    return way === undefined ? null : { from: way.from, port: way.port }
  }
}

const KEY = Symbol('canvas')

export function provideCanvas(state: CanvasState): void {
  setContext(KEY, state)
}

export function useCanvas(): CanvasState {
  return getContext(KEY)
}
