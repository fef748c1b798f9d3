import type { FastifyBaseLogger } from 'fastify'
import { bodyToSend, causationToken, isAlert } from '#modules/event/index.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import type { Metrics } from '#infra/metrics.ts'
import type { AttemptResult } from './destinations/destination.ts'
import { afterAttempt, effectsOf, type HealthEffect, NO_EFFECTS } from './health/health.ts'
import { TenantCapacity } from './lanes/capacity.ts'
import type { PluginLimits } from './limits/plugin-limits.ts'
import type { Job } from './lanes/backlog.ts'
import { bulkClass, type Lane } from './lanes/lane.ts'
import { bodyGone, outcomeOf } from './outcomes/outcome.ts'
import { judge } from './outcomes/verdict.ts'
import type { Recorded } from './outcomes/writer.ts'

/** Starts nothing so close to the end of a lease (a quarter of a short one): its outcome might come too late. */
const LEASE_MARGIN_MS = 1_000

interface SenderContext {
  secretBox: SecretBox
  limits: PluginLimits
  metrics: Metrics
  log: FastifyBaseLogger
  /** The service's address from outside. */
  origin: string | null
}

interface SenderOptions {
  leaseMs: number
  /** Attempts under way at once, over all lanes. */
  maxInFlight: number
  disableAfterMs: number
  /** Has a lane try again that its plugin's limits have refused. */
  wake(lane: Lane): void
}

/** Attempts what lanes have queued, and decides what each result means for delivery and plugin (verdict.ts, health.ts). */
export class Sender {
  readonly #ctx: SenderContext
  readonly #options: SenderOptions
  readonly #capacity: TenantCapacity
  #crowded = false

  constructor(ctx: SenderContext, options: SenderOptions) {
    this.#ctx = ctx
    this.#options = options
    this.#capacity = new TenantCapacity(options.maxInFlight)
  }

  /**
   * Takes what the lane is to attempt next, which is to be handed to `send` at once.
   * @returns the milliseconds to wait where its rate limit allows none yet; 0: none can start before another ends, be it of
   *   the lane or a call of the plugin's actions
   */
  take(lane: Lane): Job | number {
    const now = performance.now()
    const margin = Math.min(LEASE_MARGIN_MS, this.#options.leaseMs / 4)
    // Asked first: it may have lanes start that its settings have held back.
    const { limit } = lane
    if (!lane.canStart() || now >= lane.leaseUntil - margin) return 0
    if (!this.#capacity.hasPlace(lane.target.tenantId, lane.nextClass)) {
      this.#crowded = true
      return 0
    }
    const waitMs = limit.beginDelivery(lane, () => this.#options.wake(lane))
    if (waitMs === 'full') return 0
    return waitMs > 0 ? waitMs : (lane.begin() ?? 0)
  }

  /** Tells whether a lane has been refused for want of capacity since the last time that this was asked. */
  takeCrowded(): boolean {
    const crowded = this.#crowded
    this.#crowded = false
    return crowded
  }

  /** One attempt. @returns what is to be recorded; null: nothing, the delivery stays due */
  async send(lane: Lane, job: Job): Promise<Recorded | null> {
    const laneClass = job.bulk ? bulkClass(lane.class) : lane.class
    this.#capacity.take(lane.target.tenantId, laneClass)
    const startedAt = performance.now()
    try {
      if (job.body === null) return { lane, outcome: bodyGone(lane, job), effects: NO_EFFECTS }
      const causation = { id: job.eventId, depth: job.causationDepth + 1 }
      const message = {
        id: job.eventId,
        body: bodyToSend(job.body, job.payload, { eventId: job.eventId, origin: this.#ctx.origin }),
        causationId: causation.id,
        causationDepth: causation.depth,
        causationToken: causationToken(this.#ctx.secretBox, lane.target, causation),
        event: job.event,
        publisher: job.publisher,
        attempt: job.attemptCount + 1,
      }
      const result = await lane.destination.send(message, lane.signal)
      return lane.state === 'abandoned' ? null : this.#conclude(lane, job, result)
    } catch (error) {
      // Letting go of the lane brings the delivery back through the front door.
      this.#ctx.log.error({ err: error, delivery_id: job.deliveryId }, 'delivery attempt broke')
      lane.done(job.deliveryId, performance.now())
      lane.close()
      return null
    } finally {
      lane.ended()
      lane.limit.endDelivery(performance.now() - startedAt)
      this.#capacity.leave(lane.target.tenantId, laneClass)
    }
  }

  #conclude(lane: Lane, job: Job, result: AttemptResult): Recorded {
    const now = performance.now()
    const isOk = result.outcome === 'ok'
    const verdict = judge(result, lane.target.retrySchedule, job.roundFailures + (isOk ? 0 : 1))
    lane.noteResult(isOk, afterAttempt(lane.health, result, verdict.holdMs, now), result.durationMs)
    if (verdict.holdMs > 0) this.#ctx.limits.holdCalls(lane.target, verdict.holdMs)
    this.#ctx.metrics.attemptDuration.observe({ outcome: verdict.status }, result.durationMs / 1000)
    const effects = this.#effectsOf(lane, job, verdict.gone, now)
    for (const effect of effects) {
      if (effect === 'failing' || effect === 'recovered') lane.announced(effect === 'failing')
      else if (effect === 'disabling_soon') lane.warned()
      else lane.close()
    }
    if (lane.health.holdUntil !== null) lane.close()
    return { lane, outcome: outcomeOf(lane, job, result, verdict), effects }
  }

  #effectsOf(lane: Lane, job: Job, isGone: boolean, now: number): readonly (HealthEffect | 'gone')[] {
    const asked = effectsOf(lane.health, this.#options, now)
    if (asked.length === 0 && !isGone) return NO_EFFECTS
    // An alert that is not taken is no news: it would cause itself.
    const effects = asked.filter((effect) => effect === 'disable' || !isAlert(job.event))
    return isGone ? [...effects, 'gone'] : effects
  }
}
