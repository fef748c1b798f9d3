import { LRUCache } from 'lru-cache'

export interface RateWindowOptions {
  /** Calls that a key has in each window. */
  limit: number
  windowMs: number
  /** Keys that are remembered; beyond it those that called longest ago are forgotten. About 150 bytes each. */
  maxKeys: number
}

/** Counts calls by key in fixed windows, in this process alone. */
export class RateWindow {
  readonly #options: RateWindowOptions
  readonly #windows: LRUCache<string, { count: number; endsAt: number }>

  constructor(options: RateWindowOptions) {
    this.#options = options
    this.#windows = new LRUCache({ max: options.maxKeys })
  }

  /** @returns null if the call may go on, else the seconds until the next one may */
  take(key: string, now = performance.now()): number | null {
    const waitSeconds = this.exhausted(key, now)
    if (waitSeconds !== null) return waitSeconds
    const window = this.#live(key, now)
    if (window !== undefined) window.count++
    else this.#open(key, now)
    return null
  }

  /** The same without counting. */
  exhausted(key: string, now = performance.now()): number | null {
    const window = this.#live(key, now)
    if (window === undefined || window.count < this.#options.limit) return null
    return Math.max(1, Math.ceil((window.endsAt - now) / 1_000))
  }

  /** Whether the key has called in a window that has not ended. */
  has(key: string, now = performance.now()): boolean {
    return this.#live(key, now) !== undefined
  }

  #live(key: string, now: number) {
    const window = this.#windows.get(key)
    return window !== undefined && now < window.endsAt ? window : undefined
  }

  #open(key: string, now: number): void {
    this.#windows.set(key, { count: 1, endsAt: now + this.#options.windowMs })
  }
}
