import { hasShare } from '#lib/async/share.ts'

interface Waiting {
  tenantId: string
  bytes: number
  go: (isGiven: boolean) => void
}

/** The bytes of what executions have loaded and added to it, shared out among tenants: the last one may go beyond. */
export class LoadedBytes {
  readonly #max: number
  readonly #own = new Map<string, number>()
  readonly #waiting = new Set<Waiting>()
  #used = 0
  #isClosed = false

  constructor(max: number) {
    this.#max = max
  }

  /**
   * Waits until the tenant may have so many more.
   * @returns false: it may not, as the process stops
   */
  async take(tenantId: string, bytes: number): Promise<boolean> {
    if (this.#isClosed) return false
    if (this.#hasShare(tenantId, 0)) {
      this.add(tenantId, bytes)
      return true
    }
    return new Promise((go) => this.#waiting.add({ tenantId, bytes, go }))
  }

  /** Counts what has become more, whether there is a share for it or not. */
  add(tenantId: string, bytes: number): void {
    this.#used += bytes
    this.#own.set(tenantId, (this.#own.get(tenantId) ?? 0) + bytes)
  }

  leave(tenantId: string, bytes: number): void {
    this.#used -= bytes
    const own = (this.#own.get(tenantId) ?? 0) - bytes
    if (own > 0) this.#own.set(tenantId, own)
    else this.#own.delete(tenantId)
    for (const waiting of this.#waiting) {
      if (this.#used >= this.#max) return
      if (!this.#hasShare(waiting.tenantId, 0)) continue
      this.#waiting.delete(waiting)
      this.add(waiting.tenantId, waiting.bytes)
      waiting.go(true)
    }
  }

  /** Tells whether who has these bytes would not get them again: others of the tenant have its share. */
  isBeyond(tenantId: string, bytes: number): boolean {
    return !this.#hasShare(tenantId, bytes)
  }

  /** Gives nobody anything any more. */
  close(): void {
    this.#isClosed = true
    for (const { go } of this.#waiting) go(false)
    this.#waiting.clear()
  }

  #hasShare(tenantId: string, without: number): boolean {
    const own = (this.#own.get(tenantId) ?? 0) - without
    return hasShare(own, this.#max - (this.#used - without))
  }
}
