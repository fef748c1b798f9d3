import { LRUCache } from 'lru-cache'
import type { TenantSnapshot } from './snapshot.ts'

/** Plugins and types of all remembered tenants together; about 500 bytes each. */
const MAX_WEIGHT = 100_000
/** A snapshot whose version did not change is read again after this long, in case its types did without raising it. */
const MAX_AGE_MS = 60_000

interface Entry {
  snapshot: TenantSnapshot
  loadedAt: number
}

/**
 * Snapshots by tenant, the longest unused thrown out first. A stale one does no harm: the statement that writes the
 * events names the version, writes nothing when it is no longer the current one, and the caller asks for `fresh`.
 */
export class SnapshotCache {
  readonly #load: (tenantId: string) => Promise<TenantSnapshot>
  readonly #entries = new LRUCache<string, Entry>({
    maxSize: MAX_WEIGHT,
    // The heaviest still is held, alone: it would be read for every event otherwise.
    sizeCalculation: ({ snapshot }) => Math.min(MAX_WEIGHT, snapshot.weight),
  })
  readonly #loading = new Map<string, Promise<TenantSnapshot>>()

  constructor(load: (tenantId: string) => Promise<TenantSnapshot>) {
    this.#load = load
  }

  /** Synchronous where it can be: this is asked for every event. */
  get(tenantId: string): TenantSnapshot | Promise<TenantSnapshot> {
    const entry = this.#entries.get(tenantId)
    if (entry === undefined || performance.now() - entry.loadedAt > MAX_AGE_MS)
      return this.#loadOnce(tenantId)
    return entry.snapshot
  }

  /** One that is not `stale`, which somebody found to be out of date. */
  async fresh(tenantId: string, stale: TenantSnapshot): Promise<TenantSnapshot> {
    const entry = this.#entries.get(tenantId)
    return entry !== undefined && entry.snapshot.version > stale.version
      ? entry.snapshot
      : this.reload(tenantId)
  }

  /** As it is now: a reading that was under way before the call is not good enough. */
  async reload(tenantId: string): Promise<TenantSnapshot> {
    return this.#keep(tenantId, await this.#load(tenantId))
  }

  /** Callers that ask while it is being read share the answer. */
  #loadOnce(tenantId: string): Promise<TenantSnapshot> {
    let loading = this.#loading.get(tenantId)
    if (loading === undefined) {
      loading = this.reload(tenantId).finally(() => this.#loading.delete(tenantId))
      this.#loading.set(tenantId, loading)
    }
    return loading
  }

  #keep(tenantId: string, snapshot: TenantSnapshot): TenantSnapshot {
    const known = this.#entries.peek(tenantId)
    if (known !== undefined && known.snapshot.version > snapshot.version) return snapshot
    this.#entries.set(tenantId, { snapshot, loadedAt: performance.now() })
    return snapshot
  }
}
