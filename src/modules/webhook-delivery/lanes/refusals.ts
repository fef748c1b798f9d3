/** A lane that could not be had, or was left to others, is not asked for again at every hint. */
const REFUSED_MS = 1_000

interface Refusal {
  until: number
  /** Work came meanwhile that somebody has to take. */
  isAsked: boolean
  isLeft: boolean
}

/**
 * The lanes that a worker does not ask for at the moment: another worker's, on hold, paused, or left to others. A hint that
 * comes meanwhile is kept until then: whoever was to take the lane may be gone, and nobody tells of its work again.
 */
export class Refusals {
  readonly #refusals = new Map<string, Refusal>()
  readonly #onAsked: (pluginIds: readonly string[]) => void
  #timer: NodeJS.Timeout | null = null

  /** @param onAsked is told of the lanes that were asked for meanwhile, when they may be had again */
  constructor(onAsked: (pluginIds: readonly string[]) => void) {
    this.#onAsked = onAsked
  }

  /** The lane could not be had. */
  refuse(pluginId: string): void {
    this.#set(pluginId, false)
  }

  /** The lane is free, and others are to have it: it is not taken even if a look finds it. */
  leave(pluginId: string): void {
    this.#set(pluginId, true)
  }

  /** This worker has no use for the lane, but for one that a look finds: something may have changed by then. */
  forgo(pluginId: string): void {
    this.#refusals.set(pluginId, { until: Infinity, isAsked: false, isLeft: false })
  }

  lift(pluginId: string): void {
    this.#refusals.delete(pluginId)
  }

  /** Somebody says that the lane has work. @returns whether it is to be let alone: then it is asked for later */
  hears(pluginId: string): boolean {
    return this.#keepsAway(this.#refusals.get(pluginId))
  }

  /** A look has found the lane free. @returns the same: true only if it was left to others */
  finds(pluginId: string): boolean {
    const refusal = this.#refusals.get(pluginId)
    return refusal?.isLeft === true && this.#keepsAway(refusal)
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#refusals.clear()
  }

  #set(pluginId: string, isLeft: boolean): void {
    this.#refusals.set(pluginId, { until: performance.now() + REFUSED_MS, isAsked: false, isLeft })
    this.#timer ??= setTimeout(() => this.#expire(), REFUSED_MS)
  }

  #keepsAway(refusal: Refusal | undefined): boolean {
    if (refusal === undefined || refusal.until <= performance.now()) return false
    refusal.isAsked = true
    return true
  }

  #expire(): void {
    const now = performance.now()
    const asked: string[] = []
    let next = Infinity
    for (const [pluginId, { until, isAsked }] of this.#refusals) {
      if (until > now) next = Math.min(next, until)
      else {
        this.#refusals.delete(pluginId)
        if (isAsked) asked.push(pluginId)
      }
    }
    this.#timer = next === Infinity ? null : setTimeout(() => this.#expire(), Math.ceil(next - now))
    if (asked.length > 0) this.#onAsked(asked)
  }
}
