import { CLASSES_BEST_FIRST, type TenantCapacity } from './capacity.ts'
import type { LaneClass } from './lane.ts'

/** Candidates of which only a claim tells whose they are: they have one share together. */
const UNKNOWN = ''

/** Lanes that have work and may be free, by whose they are. */
export class Candidates {
  readonly #tenantOf = new Map<string, string>()
  readonly #byTenant = new Map<string, Map<string, LaneClass>>()

  get size(): number {
    return this.#tenantOf.size
  }

  /** Those of which it is not known whose they are. */
  get unknown(): string[] {
    return [...(this.#byTenant.get(UNKNOWN)?.keys() ?? [])]
  }

  has(pluginId: string): boolean {
    return this.#tenantOf.has(pluginId)
  }

  set(pluginId: string, laneClass: LaneClass, tenantId: string = UNKNOWN): void {
    if (this.#tenantOf.get(pluginId) !== tenantId) this.delete(pluginId)
    this.#tenantOf.set(pluginId, tenantId)
    const own = this.#byTenant.get(tenantId) ?? new Map<string, LaneClass>()
    this.#byTenant.set(tenantId, own.set(pluginId, laneClass))
  }

  delete(pluginId: string): void {
    const tenantId = this.#tenantOf.get(pluginId)
    if (tenantId === undefined) return
    this.#tenantOf.delete(pluginId)
    const own = this.#byTenant.get(tenantId)
    own?.delete(pluginId)
    if (own?.size === 0) this.#byTenant.delete(tenantId)
  }

  clear(): void {
    this.#tenantOf.clear()
    this.#byTenant.clear()
  }

  /**
   * Chooses the lanes to ask for next: the better class first, and of each class the tenants in turn, each within its share
   * of the capacity, which is taken.
   */
  choose(capacity: TenantCapacity, most: number): string[] {
    const chosen: string[] = []
    for (const wanted of CLASSES_BEST_FIRST) {
      const waiting = [...this.#byTenant].map(([tenantId, own]) => ({ tenantId, own: own.entries() }))
      while (chosen.length < most) {
        const turn = waiting.shift()
        if (turn === undefined) break
        if (!capacity.hasPlace(turn.tenantId, wanted)) continue
        const next = turn.own.find(([, laneClass]) => laneClass === wanted)
        if (next === undefined) continue
        chosen.push(next[0])
        capacity.take(turn.tenantId, wanted)
        waiting.push(turn)
      }
    }
    return chosen
  }

  /** The best class of what each tenant has, but of those. */
  *bestBut(tenantIds: ReadonlySet<string>): Generator<{ tenantId: string; laneClass: LaneClass }> {
    for (const [tenantId, own] of this.#byTenant) {
      if (tenantId === UNKNOWN || tenantIds.has(tenantId)) continue
      const classes = new Set(own.values())
      yield { tenantId, laneClass: CLASSES_BEST_FIRST.find((each) => classes.has(each)) ?? 'failing' }
    }
  }
}
