import type { LaneClass } from './lane.ts'

/**
 * How much of a worker's room for attempts each class may fill. A dead endpoint holds its place for the whole
 * deadline, a live one for milliseconds: without shares, 1,024 dead ones would be all that a worker does. What is
 * kept free for the better classes is what makes the live ones' latency independent of the dead.
 */
const CLASS_SHARE: Record<LaneClass, number> = { proven: 1, unproven: 0.8, failing: 0.4 }

export const CLASSES_BEST_FIRST: readonly LaneClass[] = ['proven', 'unproven', 'failing']

/** Places by class: for attempts, for lanes, which need one each, or for the characters of their bodies. */
export class Room {
  readonly #places: number
  readonly #taken: Record<LaneClass, number> = { proven: 0, unproven: 0, failing: 0 }

  constructor(places: number) {
    this.#places = places
  }

  take(laneClass: LaneClass, places = 1): void {
    this.#taken[laneClass] += places
  }

  leave(laneClass: LaneClass): void {
    this.#taken[laneClass]--
  }

  /** Places that a class may still take: its share, less what it and the worse classes have taken. */
  free(laneClass: LaneClass): number {
    const { proven, unproven, failing } = this.#taken
    const share = Math.max(1, Math.floor(this.#places * CLASS_SHARE[laneClass]))
    if (laneClass === 'failing') return share - failing
    return laneClass === 'unproven' ? share - failing - unproven : share - failing - unproven - proven
  }
}
