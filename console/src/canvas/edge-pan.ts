import type { Point } from '../flow/document.ts'

/** The part of the flow that is shown, which can be moved. */
interface PannedView {
  /** Of the part of the drawing that is in the window. */
  bounds: () => { left: number; top: number; right: number; bottom: number } | null
  /** Where the flow's own place 0, 0 is in the drawing, in pixels of the window. */
  offset: () => Point
  panTo: (offset: Point) => void
}

/** How near to the edge: about half a card. */
const NEAR = 40
/** In a second, at the edge itself: a screen in about two. */
const MOST_PIXELS = 700
/** After a frame that took long nothing jumps. */
const LONGEST_FRAME_MS = 50

/** Shows more of the flow while something is held near the edge of the drawing, or goes back to what was shown. */
export class EdgePan {
  readonly #view: () => PannedView | null
  #at: Point | null = null
  #onpan: (by: Point) => void = () => undefined
  #isArmed = false
  /** What was shown before; null: it is still shown. */
  #before: Point | null = null
  #frame = 0
  #last = 0

  constructor(view: () => PannedView | null) {
    this.#view = view
  }

  /**
   * Says where what is held is now.
   *
   * @param onpan comes after each part of the way, by how much all that is drawn has moved in the window
   * @param comesFromOutside it passes the edge on its way in, which shows nothing else yet
   */
  hold(at: Point, onpan: (by: Point) => void, comesFromOutside = false): void {
    if (this.#at === null) {
      this.#isArmed = !comesFromOutside
      this.#before = null
    }
    this.#at = at
    this.#onpan = onpan
    const speed = this.#speed()
    const isInside = speed?.x === 0 && speed.y === 0
    if (isInside) this.#isArmed = true
    if (speed === null || isInside || !this.#isArmed || this.#frame !== 0) return
    this.#last = performance.now()
    this.#frame = requestAnimationFrame((now) => this.#step(now))
  }

  /** It was let go: what is shown now stays. */
  letGo(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    this.#at = null
    this.#before = null
  }

  /** It came to nothing: what was shown before is shown again. */
  goBack(): void {
    if (this.#before !== null) this.#view()?.panTo(this.#before)
    this.letGo()
  }

  #step(now: number): void {
    this.#frame = 0
    const speed = this.#speed()
    const view = this.#view()
    if (view === null || speed === null || (speed.x === 0 && speed.y === 0)) return
    const seconds = Math.min(LONGEST_FRAME_MS, Math.max(0, now - this.#last)) / 1_000
    this.#last = now
    const by = { x: speed.x * seconds, y: speed.y * seconds }
    const { x, y } = view.offset()
    this.#before ??= { x, y }
    view.panTo({ x: x + by.x, y: y + by.y })
    this.#frame = requestAnimationFrame((next) => this.#step(next))
    this.#onpan(by)
  }

  /** In pixels a second; null: it is held outside of the drawing. */
  #speed(): Point | null {
    const bounds = this.#view()?.bounds() ?? null
    if (bounds === null || this.#at === null) return null
    const { x, y } = this.#at
    if (x < bounds.left || x > bounds.right || y < bounds.top || y > bounds.bottom) return null
    return { x: pull(x, bounds.left, bounds.right), y: pull(y, bounds.top, bounds.bottom) }
  }
}

/** Towards what lies beyond the edge that is near. */
function pull(at: number, from: number, to: number): number {
  const [before, behind] = [Math.max(0, NEAR - (at - from)), Math.max(0, NEAR - (to - at))]
  return ((before - behind) / NEAR) * MOST_PIXELS
}
