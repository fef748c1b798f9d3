import type { DeliveryTarget } from '../destinations/attempt.ts'
import { afterHold, type Health } from '../health/health.ts'
import type { LaneClaim } from './repository.ts'
import type { LaneHold, LaneUpdate } from '../outcomes/repository.ts'

/** A due delivery that a worker has in hand. */
export interface Job {
  deliveryId: string
  eventId: string
  event: string
  attemptCount: number
  roundFailures: number
  /** Null: aged out or erased, so that it cannot be delivered any more. */
  body: string | null
  /** Of the event; what the delivery leads to has one more. */
  causationDepth: number
}

/** Who may use how much of a worker: see capacity.ts. */
export type LaneClass = 'proven' | 'unproven' | 'slow' | 'failing'

/** Deliveries fetched at once for one lane: it starts low and doubles while the lane stays full. */
const FETCH_MIN = 16
const FETCH_MAX = 256
/** Bodies in hand beyond which a lane fetches no more, in characters: few receivers get so many so fast. */
const LANE_BODIES_MAX_CHARS = 4 * 1024 * 1024
/** What answers take on the average from which on an endpoint is slow, and how much the last one counts. */
const SLOW_MS = 2_000
const LAST_COUNTS = 0.2
/** A rate limit may use up this much of a second at once. */
const BURST_SECONDS = 0.1

/**
 * One plugin's lane while this worker holds it: what is queued here, what is under way, and the plugin's limits.
 * The lease makes all of it exact: nobody else sends to this plugin meanwhile. Times are `performance.now()`.
 */
export class Lane {
  readonly target: DeliveryTarget
  readonly hold: LaneHold
  readonly queue: Job[] = []
  /** Deliveries that are queued, under way or not yet recorded, with their bodies' size: not to be fetched again. */
  readonly inHand = new Map<string, number>()
  /** Size of the bodies in hand. */
  bodyChars = 0
  health: Health
  inFlight = 0
  /** There may be more due than is in hand. */
  more = true
  /** Counts hints, so that one that arrives while a fetch is under way is not lost with its answer. */
  hints = 0
  fetchSize = FETCH_MIN
  /** Starts nothing new; is given back once nothing is under way. */
  closing = false
  /** Closing because another worker is to have it. */
  handingOver = false
  /** An outcome of it did not count: whoever takes it again should not do so at once. */
  lost = false
  /** Given up on with attempts under way: whatever their outcome, it is not recorded. */
  abandoned = false
  leaseUntil: number
  idleSince: number
  rateTimer: NodeJS.Timeout | null = null
  #tokens: number
  #tokensAt: number
  #answerMs = 0
  #succeeded = false
  #failed = false
  #successNotedAt = -Infinity
  #recordedHealth: Health

  constructor(claim: LaneClaim, target: DeliveryTarget, now: number, leaseMs: number) {
    this.target = target
    this.hold = {
      tenantId: target.tenantId,
      pluginId: target.pluginId,
      leaseToken: claim.lease_token,
      request: JSON.stringify({ url: target.url, headers: Object.keys(target.headers) }),
    }
    this.leaseUntil = now + leaseMs
    this.idleSince = now
    const health: Health = {
      version: claim.health_version,
      breaker: claim.breaker_state,
      opens: claim.breaker_opens,
      holdUntil: null,
      holdReason: null,
      consecutiveFailures: claim.consecutive_failures,
      // Not kept apart in the row: a streak whose last failure was an answer begins anew.
      outages: claim.last_error_class === 'http_4xx' ? 0 : claim.consecutive_failures,
      failingSince: claim.failing_for_ms === null ? null : now - claim.failing_for_ms,
      failingAttempts: claim.failing_attempts,
      announced: claim.failing_announced,
      lastErrorClass: claim.last_error_class,
      proven: claim.proven,
    }
    this.health = claim.held_before || health.breaker === 'open' ? afterHold(health) : health
    this.#recordedHealth = this.health
    this.#tokens = claim.rate_tokens ?? this.#burst()
    this.#tokensAt = now - (claim.rate_age_ms ?? 0)
  }

  get id(): string {
    return this.target.pluginId
  }

  get class(): LaneClass {
    if (this.health.consecutiveFailures > 0) return 'failing'
    if (!this.health.proven) return 'unproven'
    return this.#answerMs >= SLOW_MS ? 'slow' : 'proven'
  }

  /** Attempts that may be under way at once: all that the plugin allows once it has shown that it answers. */
  get allowed(): number {
    return (this.class === 'proven' || this.class === 'slow') && this.health.breaker === 'closed'
      ? this.target.maxInFlight
      : 1
  }

  get idle(): boolean {
    return this.queue.length === 0 && this.inHand.size === 0 && !this.more
  }

  wantsFetch(): boolean {
    return this.more && !this.closing && !this.full && this.queue.length < this.fetchSize / 2
  }

  get full(): boolean {
    return this.bodyChars >= LANE_BODIES_MAX_CHARS
  }

  /** After a fetch of `fetchSize` that gave `count`; `hints` as it was when the fetch began. */
  fetched(count: number, hints: number): void {
    const full = count >= this.fetchSize
    this.more = full || this.hints !== hints
    // Not to be given back as idle before the bodies have been read, too.
    if (count > 0) this.idleSince = performance.now()
    this.fetchSize = full ? Math.min(this.fetchSize * 2, FETCH_MAX) : Math.max(this.fetchSize / 2, FETCH_MIN)
  }

  enqueue(job: Job): void {
    const chars = job.body?.length ?? 0
    this.inHand.set(job.deliveryId, chars)
    this.bodyChars += chars
    this.queue.push(job)
  }

  /** A delivery is recorded, or is let go of unrecorded. */
  done(deliveryId: string, now: number): void {
    this.#drop(deliveryId)
    if (this.inHand.size === 0) this.idleSince = now
  }

  /** Nothing of it is queued, under way or unrecorded: it can be given back. */
  get empty(): boolean {
    return this.inFlight === 0 && this.inHand.size === 0
  }

  /** Gives up what was not started yet: it stays due in the database. */
  close(): void {
    this.closing = true
    for (const job of this.queue.splice(0)) this.#drop(job.deliveryId)
    if (this.rateTimer !== null) clearTimeout(this.rateTimer)
    this.rateTimer = null
  }

  /** Takes a token of the rate limit. @returns 0, or the milliseconds until there is one */
  takeToken(now: number): number {
    const rate = this.target.ratePerSecond
    if (rate === null) return 0
    this.#tokens = Math.min(this.#burst(), this.#tokens + ((now - this.#tokensAt) / 1000) * rate)
    this.#tokensAt = now
    if (this.#tokens >= 1) {
      this.#tokens -= 1
      return 0
    }
    return Math.max(1, Math.ceil(((1 - this.#tokens) / rate) * 1000))
  }

  get tokensLeft(): number | null {
    return this.target.ratePerSecond === null ? null : this.#tokens
  }

  canStart(): boolean {
    return !this.closing && this.queue.length > 0 && this.inFlight < this.allowed
  }

  startLater(waitMs: number, start: () => void): void {
    this.rateTimer ??= setTimeout(() => {
      this.rateTimer = null
      start()
    }, waitMs)
  }

  hint(): void {
    this.more = true
    this.hints++
  }

  noteResult(ok: boolean, health: Health, durationMs: number): void {
    this.health = health
    if (ok) this.#answerMs += (durationMs - this.#answerMs) * LAST_COUNTS
    if (ok) this.#succeeded = true
    else this.#failed = true
  }

  /** What `plugin.failing` and `plugin.recovered` said last; their own transaction writes it. */
  announced(announced: boolean): void {
    this.health = { ...this.health, announced }
  }

  /**
   * What the lane's row should say now, or null if it says so already. While all is well the last success is
   * noted every `SUCCESS_NOTE_MS` only: a write a batch would tell nobody anything new.
   */
  update(now: number): LaneUpdate | null {
    const noteSuccess = this.#succeeded && now - this.#successNotedAt >= SUCCESS_NOTE_MS
    if (this.health === this.#recordedHealth && !this.#failed && !noteSuccess) return null
    const { health } = this
    const update: LaneUpdate = {
      pluginId: this.id,
      leaseToken: this.hold.leaseToken,
      healthVersion: health.version,
      breakerState: health.breaker,
      breakerOpens: health.opens,
      holdMs: health.holdUntil === null ? null : Math.max(0, health.holdUntil - now),
      holdReason: health.holdReason,
      consecutiveFailures: health.consecutiveFailures,
      failing: health.failingSince !== null,
      failingAttempts: health.failingAttempts,
      lastErrorClass: health.lastErrorClass,
      succeeded: this.#succeeded,
      failed: this.#failed,
      rateTokens: this.tokensLeft,
    }
    if (this.#succeeded) this.#successNotedAt = now
    this.#succeeded = this.#failed = false
    this.#recordedHealth = health
    return update
  }

  #drop(deliveryId: string): void {
    this.bodyChars -= this.inHand.get(deliveryId) ?? 0
    this.inHand.delete(deliveryId)
  }

  #burst(): number {
    return Math.max(1, (this.target.ratePerSecond ?? 0) * BURST_SECONDS)
  }
}

const SUCCESS_NOTE_MS = 5_000
