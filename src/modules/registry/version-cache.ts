import { LRUCache } from 'lru-cache'

/** A tenant's snapshot of something, made from the database. */
export interface Snapshot {
  /** About how many bytes it takes. */
  readonly weight: number
}

interface Entry<T> {
  version: number
  snapshot: T
}

export interface VersionCacheOptions<T extends Snapshot> {
  /** One primary-key look-up; 0 for a tenant that is not there. */
  readVersion: (tenantId: string) => Promise<number>
  /** `stale`: the snapshot that it replaces, to take over from it what has not changed. */
  load: (tenantId: string, stale: T | undefined) => Promise<T>
  /** The longest unused snapshots go when all together weigh more, in bytes. */
  maxWeight: number
}

/**
 * Snapshots by tenant, each checked against the tenant's version in the database whenever it is asked for: a change
 * that was committed before the question is in the answer, on every replica.
 */
export class VersionCache<T extends Snapshot> {
  readonly #options: VersionCacheOptions<T>
  readonly #entries: LRUCache<string, Entry<T>>
  readonly #versions = new Map<string, Promise<number>>()
  readonly #loading = new Map<string, { version: number; snapshot: Promise<T> }>()

  constructor(options: VersionCacheOptions<T>) {
    this.#options = options
    const { maxWeight } = options
    this.#entries = new LRUCache({
      maxSize: maxWeight,
      // The heaviest still is held, alone: it would be read for every question otherwise.
      sizeCalculation: ({ snapshot }) => Math.max(1, Math.min(maxWeight, snapshot.weight)),
    })
  }

  /** As of now. Callers in the same tick share the look-up: it is sent after all of them have asked. */
  version(tenantId: string): Promise<number> {
    let version = this.#versions.get(tenantId)
    if (version === undefined) {
      version = Promise.resolve().then(() => {
        this.#versions.delete(tenantId)
        return this.#options.readVersion(tenantId)
      })
      this.#versions.set(tenantId, version)
    }
    return version
  }

  async get(tenantId: string): Promise<T> {
    return this.at(tenantId, await this.version(tenantId))
  }

  /** The snapshot of this version or a later one. */
  async at(tenantId: string, version: number): Promise<T> {
    const entry = this.#entries.get(tenantId)
    if (entry === undefined || entry.version < version) return this.#loadOnce(tenantId, version)
    return entry.snapshot
  }

  /** Loads a version once for all who ask for it, or for an earlier one, meanwhile. */
  #loadOnce(tenantId: string, version: number): Promise<T> {
    const loading = this.#loading.get(tenantId)
    if (loading !== undefined && loading.version >= version) return loading.snapshot
    const snapshot = this.#options
      .load(tenantId, this.#entries.get(tenantId)?.snapshot)
      .then((loaded) => this.#keep(tenantId, version, loaded))
      .finally(() => {
        if (this.#loading.get(tenantId)?.snapshot === snapshot) this.#loading.delete(tenantId)
      })
    this.#loading.set(tenantId, { version, snapshot })
    return snapshot
  }

  #keep(tenantId: string, version: number, snapshot: T): T {
    const kept = this.#entries.get(tenantId)
    if (kept !== undefined && kept.version > version) return snapshot
    this.#entries.set(tenantId, { version, snapshot })
    return snapshot
  }
}
