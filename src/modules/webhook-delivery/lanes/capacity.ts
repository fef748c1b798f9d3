import { hasShare, placesForOne, shareOfOne } from '#lib/async/share.ts'
import type { LaneClass } from './lane.ts'

/**
 * How much of a worker's capacity for attempts each class may fill. A dead endpoint holds its place for the whole
 * deadline and a slow one for seconds, a live one for milliseconds: without shares, 1,024 dead ones would be all that a
 * worker does. What is kept free for the better classes is what makes the live ones' latency independent of the others.
 */
const CLASS_SHARE: Record<LaneClass, number> = { proven: 1, unproven: 0.8, slow: 0.6, failing: 0.4 }

export const CLASSES_BEST_FIRST: readonly LaneClass[] = ['proven', 'unproven', 'slow', 'failing']

/** Places by class: for attempts, for lanes, which need one each, or for the characters of their bodies. */
export class Capacity {
  readonly #places: number
  readonly #taken: Record<LaneClass, number> = { proven: 0, unproven: 0, slow: 0, failing: 0 }

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
    return placesOf(laneClass, this.#places) - sameOrWorse(this.#taken, laneClass)
  }
}

/**
 * The same places by tenant and class: whoever has many of what a class may take gets no further ones while few are left,
 * which are for the others. A tenant's worse endpoints are not in the way of its better ones.
 */
export class TenantCapacity {
  readonly #capacity: Capacity
  readonly #taken = new Map<string, Record<LaneClass, number>>()

  constructor(places: number) {
    this.#capacity = new Capacity(places)
  }

  take(tenantId: string, laneClass: LaneClass, places = 1): void {
    this.#capacity.take(laneClass, places)
    const own = this.#taken.get(tenantId) ?? { proven: 0, unproven: 0, slow: 0, failing: 0 }
    own[laneClass] += places
    this.#taken.set(tenantId, own)
  }

  leave(tenantId: string, laneClass: LaneClass): void {
    this.#capacity.leave(laneClass)
    const own = this.#taken.get(tenantId)
    if (own === undefined) return
    own[laneClass]--
    if (sameOrWorse(own, 'proven') === 0) this.#taken.delete(tenantId)
  }

  hasPlace(tenantId: string, laneClass: LaneClass): boolean {
    const own = this.#taken.get(tenantId)
    return hasShare(own === undefined ? 0 : sameOrWorse(own, laneClass), this.#capacity.free(laneClass))
  }
}

function placesOf(laneClass: LaneClass, places: number): number {
  return Math.max(1, Math.floor(places * CLASS_SHARE[laneClass]))
}

/** Returns how many attempts a plugin may have under way in a worker of so many places while no other wants any. */
export function mostOfOne(places: number, laneClass: LaneClass): number {
  return shareOfOne(placesOf(laneClass, places))
}

/** Returns how many places a worker needs for a plugin to have so many attempts under way, however slowly it answers. */
export function placesForPlugin(attempts: number): number {
  return Math.ceil(placesForOne(attempts) / CLASS_SHARE.slow)
}

/** Asked several times for each attempt, and for each lane that is refused: hence no list of classes. */
function sameOrWorse(taken: Readonly<Record<LaneClass, number>>, laneClass: LaneClass): number {
  const { proven, unproven, slow, failing } = taken
  if (laneClass === 'proven') return proven + unproven + slow + failing
  if (laneClass === 'unproven') return unproven + slow + failing
  return laneClass === 'slow' ? slow + failing : failing
}
