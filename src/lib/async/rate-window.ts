import type { LRUCache } from 'lru-cache'
import { boundedCache } from '../bounded-cache.ts'

export interface RateWindowOptions {
  /** Calls that a key has in each window, unless a call says another. */
  limit?: number
  windowMs: number
  /** Keys that are remembered; beyond it those that called longest ago are forgotten. About 150 bytes each. */
  maxKeys: number
}

export interface RateCall {
  /** The number of calls it counts as. The last one that begins below the limit goes on as a whole. */
  count?: number
  limit?: number
  /** On `performance.now()`'s scale. */
  now?: number
}

/** Counts calls by key in fixed windows, in this process alone. */
export class RateWindow {
  readonly #options: RateWindowOptions
  readonly #windows: LRUCache<string, { count: number; endsAt: number }>

  constructor(options: RateWindowOptions) {
    this.#options = options
    this.#windows = boundedCache(options.maxKeys)
  }

  /** @returns null if the call may go on, else the seconds until the next one may */
  take(key: string, call: RateCall = {}): number | null {
    const { count = 1, now = performance.now() } = call
    const waitSeconds = this.exhausted(key, { ...call, now })
    if (waitSeconds !== null) return waitSeconds
    const window = this.#live(key, now)
    if (window !== undefined) window.count += count
    else this.#windows.set(key, { count, endsAt: now + this.#options.windowMs })
    return null
  }

  /** The same without counting. */
  exhausted(key: string, { limit, now = performance.now() }: Omit<RateCall, 'count'> = {}): number | null {
    const { limit: usual = Number.POSITIVE_INFINITY, windowMs } = this.#options
    const { count, endsAt } = this.#live(key, now) ?? { count: 0, endsAt: now + windowMs }
    return count < (limit ?? usual) ? null : Math.max(1, Math.ceil((endsAt - now) / 1_000))
  }

  /** Calls that were counted in the window that has not ended. */
  counted(key: string, now = performance.now()): number {
    return this.#live(key, now)?.count ?? 0
  }

  #live(key: string, now: number) {
    const window = this.#windows.get(key)
    return window !== undefined && now < window.endsAt ? window : undefined
  }
}
