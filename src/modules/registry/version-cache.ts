import { LRUCache } from 'lru-cache'

/** A tenant's picture of something, made from the database. */
export interface Picture {
  /** About how many bytes it takes. */
  readonly weight: number
}

interface Entry<T> {
  version: number
  picture: T
}

export interface VersionCacheOptions<T extends Picture> {
  /** One primary-key look-up; 0 for a tenant that is not there. */
  readVersion: (tenantId: string) => Promise<number>
  /** `stale`: the picture that it replaces, to take over from it what has not changed. */
  load: (tenantId: string, stale: T | undefined) => Promise<T>
  /** The longest unused pictures go when all together weigh more, in bytes. */
  maxWeight: number
}

/**
 * Pictures by tenant, each checked against the tenant's version in the database whenever it is asked for: a change
 * that was committed before the question is in the answer, on every replica.
 */
export class VersionCache<T extends Picture> {
  readonly #options: VersionCacheOptions<T>
  readonly #entries: LRUCache<string, Entry<T>>
  readonly #versions = new Map<string, Promise<number>>()
  readonly #loading = new Map<string, { version: number; picture: Promise<T> }>()

  constructor(options: VersionCacheOptions<T>) {
    this.#options = options
    const { maxWeight } = options
    this.#entries = new LRUCache({
      maxSize: maxWeight,
      // The heaviest still is held, alone: it would be read for every question otherwise.
      sizeCalculation: ({ picture }) => Math.max(1, Math.min(maxWeight, picture.weight)),
    })
  }

  /** As of now. Who asks in the same tick shares the look-up: it is sent after all of them have asked. */
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

  /** The picture of this version or a later one. */
  async at(tenantId: string, version: number): Promise<T> {
    const entry = this.#entries.get(tenantId)
    if (entry === undefined || entry.version < version) return this.#loadOnce(tenantId, version)
    return entry.picture
  }

  /** What is being read for this version or a later one is read for all who ask meanwhile. */
  #loadOnce(tenantId: string, version: number): Promise<T> {
    const loading = this.#loading.get(tenantId)
    if (loading !== undefined && loading.version >= version) return loading.picture
    const picture = this.#options
      .load(tenantId, this.#entries.get(tenantId)?.picture)
      .then((loaded) => this.#keep(tenantId, version, loaded))
      .finally(() => {
        if (this.#loading.get(tenantId)?.picture === picture) this.#loading.delete(tenantId)
      })
    this.#loading.set(tenantId, { version, picture })
    return picture
  }

  #keep(tenantId: string, version: number, picture: T): T {
    const kept = this.#entries.get(tenantId)
    if (kept !== undefined && kept.version > version) return picture
    this.#entries.set(tenantId, { version, picture })
    return picture
  }
}
