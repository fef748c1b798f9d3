import type { Signals } from '#infra/signals.ts'
import type { LimitShare } from './plugin-limit.ts'

/** A process that uses a plugin says so again after this time, and counts as using it for twice as long. */
const ANNOUNCE_MS = 5_000
const COUNTS_MS = 2 * ANNOUNCE_MS

interface Use {
  /** The time at which this process said so last. */
  announcedAt: number
  /** Other processes, by when each said so last. */
  others: Map<string, number>
  /** Until then the plugin has asked some process for patience. */
  heldUntil: number
}

/**
 * Shares a plugin's limits out among the processes that use it at the moment, without asking the database: who calls a
 * plugin's actions says so by a signal, and whoever sends it anything then takes its part only. While a process comes or
 * goes, for as long as a signal takes and requests under way last, there may be more; of a limit that is smaller than the
 * number of processes, each has one. Deliveries alone are announced by nobody: one worker has a plugin's lane.
 */
export class LimitShares {
  readonly #self = crypto.randomUUID().slice(0, 8)
  readonly #uses = new Map<string, Use>()
  readonly #clock: () => number
  readonly #signals: Pick<Signals, 'publish'>
  readonly #onChange: (pluginId: string) => void
  readonly #onHold: (pluginId: string, ms: number) => void

  /** @param clock milliseconds that only go on */
  constructor(
    signals: Pick<Signals, 'publish'>,
    on: { change: (pluginId: string) => void; hold: (pluginId: string, ms: number) => void },
    clock: () => number,
  ) {
    this.#clock = clock
    this.#signals = signals
    this.#onChange = on.change
    this.#onHold = on.hold
  }

  /** Nobody uses anything. */
  get isEmpty(): boolean {
    return this.#uses.size === 0
  }

  /** Says to the others that this process calls the plugin, unless it has said so a moment ago. */
  announce(pluginId: string): void {
    const now = this.#clock()
    const use = this.#use(pluginId)
    if (now - use.announcedAt < ANNOUNCE_MS) return
    use.announcedAt = now
    this.#signals.publish('plugin_used', [`${pluginId}/${this.#self}`])
  }

  /** Says to the others that the plugin asks to be left alone for so long. */
  announceHold(pluginId: string, ms: number): void {
    this.#signals.publish('plugin_used', [`${pluginId}/${this.#self}/${Math.ceil(ms)}`])
  }

  /**
   * Hears what others, and this process itself, have said. Too many to name say nothing.
   * @param isUsed whether this process has something under way to a plugin, which the newcomer has to know
   */
  heard(ids: readonly string[], isUsed: (pluginId: string) => boolean): void {
    const now = this.#clock()
    for (const id of ids) {
      const [pluginId = '', from = '', holdMs] = id.split('/')
      if (from === this.#self) continue
      if (holdMs !== undefined) {
        const use = this.#use(pluginId)
        use.heldUntil = Math.max(use.heldUntil, now + Number(holdMs))
        this.#onHold(pluginId, Number(holdMs))
        continue
      }
      const { others } = this.#use(pluginId)
      const isNew = !others.has(from)
      others.set(from, now)
      if (!isNew) continue
      this.#onChange(pluginId)
      if (isUsed(pluginId)) this.announce(pluginId)
    }
  }

  /** For how long the plugin has asked other processes for patience. */
  heldMs(pluginId: string): number {
    return Math.max(0, (this.#uses.get(pluginId)?.heldUntil ?? -Infinity) - this.#clock())
  }

  /** Forgets for what these plugins (none named: all) have asked. */
  resume(pluginIds: readonly string[]): void {
    const uses = pluginIds.length === 0 ? this.#uses.values() : pluginIds.map((id) => this.#uses.get(id))
    for (const use of uses) if (use !== undefined) use.heldUntil = -Infinity
  }

  /** This process's share of a plugin's limits; null: all of it. */
  of(pluginId: string): LimitShare | null {
    const use = this.#uses.get(pluginId)
    if (use === undefined || use.others.size === 0) return null
    const names = [...use.others.keys()]
    const count = names.length + 1
    const rank = names.filter((name) => name < this.#self).length
    return {
      inFlight: (max) => Math.max(1, Math.floor(max / count) + (rank < max % count ? 1 : 0)),
      rate: (perSecond) => perSecond / count,
    }
  }

  /** Says again what lasts. @param use tells how this process uses a plugin */
  renew(use: (pluginId: string) => { isCalled: boolean; isUsed: boolean } | undefined): void {
    for (const [pluginId, { others }] of this.#uses) {
      const own = use(pluginId)
      if (own?.isCalled === true || (own?.isUsed === true && others.size > 0)) this.announce(pluginId)
    }
  }

  /** Forgets who has not said for long that it uses a plugin. */
  expire(): void {
    const now = this.#clock()
    for (const [pluginId, use] of this.#uses) {
      const gone = [...use.others].filter(([, at]) => now - at > COUNTS_MS)
      for (const [name] of gone) use.others.delete(name)
      const isOver = now - use.announcedAt > COUNTS_MS && now >= use.heldUntil
      if (use.others.size === 0 && isOver) this.#uses.delete(pluginId)
      if (gone.length > 0) this.#onChange(pluginId)
    }
  }

  #use(pluginId: string): Use {
    let use = this.#uses.get(pluginId)
    if (use === undefined)
      this.#uses.set(pluginId, (use = { announcedAt: -Infinity, others: new Map(), heldUntil: -Infinity }))
    return use
  }
}
