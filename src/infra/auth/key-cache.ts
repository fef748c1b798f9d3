import type { LRUCache } from 'lru-cache'
import { boundedCache } from '#lib/bounded-cache.ts'

interface KeyCacheOptions<T> {
  /** The time for which an answer stands: the longest that a revoked key outlives a lost signal. */
  ttlMs: number
  /** Of live keys, and of unknown ones beside them. */
  maxEntries: number
  /** Tells whether the key may be remembered: one that may not is looked up for every request. Default: any may. */
  keeps?: (key: T) => boolean
}

/**
 * Keeps answers about keys by their hash. Unknown keys stand in a map of their own: a caller that sends invented ones
 * fills that, and never drives out a live key. An answer stands for a fixed time, however often it is used.
 */
export class KeyCache<T extends object> {
  readonly #live: LRUCache<string, { key: T; until: number }>
  readonly #unknown: LRUCache<string, number>
  /** Requests that come while their key is looked up wait for the one answer. */
  readonly #pending = new Map<string, Promise<T | null>>()
  /** Keys that are not kept, which share no look-up either: one that began earlier may know less. */
  readonly #unkept: LRUCache<string, true>
  readonly #options: KeyCacheOptions<T>
  #generation = 0

  constructor(options: KeyCacheOptions<T>) {
    this.#options = options
    this.#live = boundedCache(options.maxEntries)
    this.#unknown = boundedCache(options.maxEntries)
    this.#unkept = boundedCache(options.maxEntries)
  }

  get size(): { live: number; unknown: number } {
    return { live: this.#live.size, unknown: this.#unknown.size }
  }

  /** The key of this hash as far as it is remembered: null, there is none; undefined, it has to be looked up. */
  known(hash: string): T | null | undefined {
    const now = performance.now()
    const live = this.#live.get(hash)
    if (live !== undefined && live.until > now) return live.key
    return (this.#unknown.get(hash) ?? 0) > now ? null : undefined
  }

  /** The key of this hash, or null if there is none; a failed look-up rejects and is not remembered. */
  async get(hash: string, load: () => Promise<T | null>): Promise<T | null> {
    const known = this.known(hash)
    if (known !== undefined) return known
    if (this.#unkept.has(hash)) return this.#load(hash, load)
    const pending = this.#pending.get(hash)
    if (pending !== undefined) {
      const key = await pending
      return this.#unkept.has(hash) ? this.#load(hash, load) : key
    }
    const loading = this.#load(hash, load)
    this.#pending.set(hash, loading)
    try {
      return await loading
    } finally {
      if (this.#pending.get(hash) === loading) this.#pending.delete(hash)
    }
  }

  clear(): void {
    this.#generation += 1
    this.#live.clear()
    this.#unknown.clear()
    this.#pending.clear()
  }

  async #load(hash: string, load: () => Promise<T | null>): Promise<T | null> {
    const generation = this.#generation
    const key = await load()
    if (key !== null && this.#options.keeps?.(key) === false) {
      this.#unkept.set(hash, true)
      return key
    }
    // Cleared since: the answer may be older than the change that cleared.
    if (generation !== this.#generation) return key
    const until = performance.now() + this.#options.ttlMs
    this.#live.delete(hash)
    this.#unknown.delete(hash)
    if (key === null) this.#unknown.set(hash, until)
    else this.#live.set(hash, { key, until })
    return key
  }
}
