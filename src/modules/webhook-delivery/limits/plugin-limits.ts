import type { Signals } from '#infra/signals.ts'
import type { DeliveryTarget } from '../destinations/targets.ts'
import { type Busy, type CallSlot, type LimitSettings, PluginLimit } from './plugin-limit.ts'
import { LimitShares } from './shares.ts'

export type LimitedTarget = Pick<DeliveryTarget, 'pluginId'> & LimitSettings

export interface CallRequest {
  /** Milliseconds that the call may wait for its turn. */
  waitMs: number
  /** The plugin that has dispatched it; null: none has. */
  by: string | null
}

const SWEEP_MS = 2_500

/**
 * The limits of all plugins as this process has to keep them, for everything that they are sent: `max_in_flight`, the rate
 * limit and `Retry-After` hold for deliveries and for calls of actions together. Only a person's test of a plugin and the
 * look at its manifest are left out.
 *
 * A plugin that dispatches while it answers a request would wait for itself, by its own action or by one that calls it back:
 * such a call goes on within that request where there is no other place. It counts as under way, so that a plugin may see
 * more than `max_in_flight` at once, of which the others wait for the last.
 */
export class PluginLimits {
  readonly #limits = new Map<string, PluginLimit>()
  readonly #clock: () => number
  readonly #shares: LimitShares
  #sweepTimer: NodeJS.Timeout | null = null
  #isClosed = false

  /** @param clock milliseconds that only go on */
  constructor(signals: Pick<Signals, 'publish'>, clock: () => number = () => performance.now()) {
    this.#clock = clock
    this.#shares = new LimitShares(
      signals,
      {
        change: (pluginId) => this.#limits.get(pluginId)?.shareOut(this.#shares.of(pluginId)),
        hold: (pluginId, ms) => this.#limits.get(pluginId)?.hold(ms),
      },
      clock,
    )
  }

  /** Calls of actions that wait for their turn. */
  get waitingCalls(): number {
    let count = 0
    for (const limit of this.#limits.values()) count += limit.waitingCalls
    return count
  }

  of(target: LimitedTarget): PluginLimit {
    let limit = this.#limits.get(target.pluginId)
    if (limit === undefined) {
      limit = new PluginLimit(target, this.#clock)
      limit.shareOut(this.#shares.of(target.pluginId))
      limit.hold(this.#shares.heldMs(target.pluginId))
      if (this.#isClosed) limit.close()
      this.#limits.set(target.pluginId, limit)
      this.#sweepLater()
    } else limit.follow(target)
    return limit
  }

  /** Begins a call of a plugin's action, at once or when it is its turn. It is under way until its slot is told of its end. */
  beginCall(target: LimitedTarget, { waitMs, by }: CallRequest): CallSlot | Promise<CallSlot | Busy> | Busy {
    const { pluginId } = target
    const limit = this.of(target)
    this.#shares.announce(pluginId)
    const lender = by === null ? undefined : this.#limits.get(by)
    let isLent = false
    const borrow = (): boolean => (isLent = lender?.lend(by === pluginId ? null : pluginId) ?? false)
    const begun = limit.beginCall(waitMs, by, borrow)
    const told = (answer: CallSlot | Busy): CallSlot | Busy =>
      isBusy(answer)
        ? answer
        : {
            end: (retryAfterMs) => {
              if (isLent) lender?.giveBackLent()
              answer.end(retryAfterMs)
              if (retryAfterMs !== null) this.#shares.announceHold(pluginId, retryAfterMs)
            },
          }
    return begun instanceof Promise ? begun.then(told) : told(begun)
  }

  /** Has calls wait here and elsewhere: the plugin has asked for patience at a delivery. */
  holdCalls(target: LimitedTarget, ms: number): void {
    this.of(target).holdCalls(ms)
    this.#shares.announceHold(target.pluginId, ms)
  }

  /** Signal `plugin_changed`: these plugins (none named: all) may be asked again at once. */
  changed(pluginIds: readonly string[]): void {
    const limits =
      pluginIds.length === 0 ? this.#limits.values() : pluginIds.map((id) => this.#limits.get(id))
    this.#shares.resume(pluginIds)
    for (const limit of limits) limit?.resume()
  }

  /** Signal `plugin_used`: what other processes say of the plugins that they use. */
  heard(ids: readonly string[]): void {
    this.#shares.heard(ids, (pluginId) => this.#limits.get(pluginId)?.isUsed === true)
    this.#sweepLater()
  }

  /** Has no call wait for its turn any longer: the process stops. */
  close(): void {
    this.#isClosed = true
    for (const limit of this.#limits.values()) limit.close()
    this.#stopSweeping()
  }

  #stopSweeping(): void {
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer)
    this.#sweepTimer = null
  }

  #sweepLater(): void {
    if (!this.#isClosed) this.#sweepTimer ??= setInterval(() => this.sweep(), SWEEP_MS).unref()
  }

  /** Says what lasts to the others, and forgets what is as if it had never been used. */
  sweep(): void {
    this.#shares.renew((pluginId) => this.#limits.get(pluginId))
    this.#shares.expire()
    for (const [pluginId, limit] of this.#limits) if (limit.isIdle) this.#limits.delete(pluginId)
    if (this.#limits.size === 0 && this.#shares.isEmpty) this.#stopSweeping()
  }
}

export function isBusy(answer: CallSlot | Busy): answer is Busy {
  return 'reason' in answer
}
