import type { FastifyBaseLogger } from 'fastify'
import type { Egress } from '#infra/egress/index.ts'
import type { Metrics } from '#infra/metrics.ts'
import { type Attempt, attempt } from './destinations/attempt.ts'
import { afterAttempt, effectsOf, type HealthEffect } from './health/health.ts'
import type { Job, Lane } from './lanes/lane.ts'
import { bodyGone, outcomeOf } from './outcomes/outcome.ts'
import type { Recorded } from './outcomes/writer.ts'
import { TenantRoom } from './lanes/capacity.ts'
import { isHealthEvent } from './health/events.ts'
import { judge } from './outcomes/verdict.ts'

/** Starts nothing so close to the end of a lease (a quarter of a short one): its outcome might come too late. */
const LEASE_MARGIN_MS = 1_000

interface SenderContext {
  egress: Egress
  metrics: Metrics
  log: FastifyBaseLogger
}

interface SenderOptions {
  leaseMs: number
  /** Attempts under way at once, over all lanes. */
  maxInFlight: number
  disableAfterMs: number
}

/** What the sender needs of the worker, and tells it. */
interface SenderEvents {
  lanes(): Iterable<Lane>
  concluded(recorded: Recorded): void
  /** Some lane has room for more than is queued in it. */
  wantsMore(): void
  /** An attempt of a closed lane has ended. */
  closed(lane: Lane): void
}

/** Attempts what lanes have queued, and decides what each answer means for delivery and plugin (verdict.ts, health.ts). */
export class Sender {
  readonly #ctx: SenderContext
  readonly #options: SenderOptions
  readonly #events: SenderEvents
  readonly #room: TenantRoom
  /** Some lane waits for room that other lanes have taken. */
  #crowded = false

  constructor(ctx: SenderContext, options: SenderOptions, events: SenderEvents) {
    this.#ctx = ctx
    this.#options = options
    this.#events = events
    this.#room = new TenantRoom(options.maxInFlight)
  }

  /** Starts what the lane, its class and the worker have room for. */
  start(lane: Lane): void {
    const now = performance.now()
    const margin = Math.min(LEASE_MARGIN_MS, this.#options.leaseMs / 4)
    while (lane.canStart() && now < lane.leaseUntil - margin) {
      if (!this.#room.hasPlace(lane.target.tenantId, lane.class)) {
        this.#crowded = true
        break
      }
      const waitMs = lane.takeToken(now)
      if (waitMs > 0) {
        lane.startLater(waitMs, () => this.start(lane))
        break
      }
      const job = lane.queue.shift()
      if (job !== undefined) void this.#deliver(lane, job)
    }
    if (lane.wantsFetch()) this.#events.wantsMore()
  }

  async #deliver(lane: Lane, job: Job): Promise<void> {
    const laneClass = lane.class
    lane.inFlight++
    this.#room.take(lane.target.tenantId, laneClass)
    try {
      if (job.body === null) this.#events.concluded({ lane, outcome: bodyGone(lane, job), effects: [] })
      else {
        const result = await attempt(this.#ctx.egress, lane.target, {
          id: job.eventId,
          body: job.body,
          causationId: job.eventId,
          causationDepth: job.causationDepth + 1,
          event: job.event,
          attempt: job.attemptCount + 1,
        })
        if (!lane.abandoned) this.#conclude(lane, job, result)
      }
    } catch (error) {
      // The delivery stays due; letting go of the lane brings it back through the front door.
      this.#ctx.log.error({ err: error, delivery_id: job.deliveryId }, 'delivery attempt broke')
      lane.done(job.deliveryId, performance.now())
      lane.close()
    }
    lane.inFlight--
    this.#room.leave(lane.target.tenantId, laneClass)
    if (lane.closing) this.#events.closed(lane)
    else this.start(lane)
    if (this.#crowded) this.#startWaiting()
  }

  /** Room has become free: whoever waits for it may start, in turn. */
  #startWaiting(): void {
    this.#crowded = false
    for (const lane of this.#events.lanes()) if (lane.canStart()) this.start(lane)
  }

  #conclude(lane: Lane, job: Job, result: Attempt): void {
    const now = performance.now()
    const verdict = judge(result, lane.target.retrySchedule, job.roundFailures + (result.ok ? 0 : 1))
    lane.noteResult(
      result.ok,
      afterAttempt(
        lane.health,
        { ok: result.ok, status: result.status, errorClass: result.errorClass, holdMs: verdict.holdMs },
        now,
      ),
      result.durationMs,
    )
    this.#ctx.metrics.attemptDuration.observe({ outcome: verdict.status }, result.durationMs / 1000)
    const effects: (HealthEffect | 'gone')[] = effectsOf(lane.health, this.#options, now).filter(
      // News of a plugin's health that are not taken are no news: they would cause themselves.
      (effect) => effect === 'disable' || !isHealthEvent(job.event),
    )
    if (verdict.gone) effects.push('gone')
    this.#events.concluded({ lane, outcome: outcomeOf(lane, job, result, verdict), effects })
    for (const effect of effects) {
      if (effect === 'failing' || effect === 'recovered') lane.announced(effect === 'failing')
      else lane.close()
    }
    if (lane.health.holdUntil !== null) lane.close()
  }
}
