import type { Destination } from '../destinations/destination.ts'
import type { DeliveryTarget } from '../destinations/targets.ts'
import { afterHold, type Health } from '../health/health.ts'
import { Backlog, type Job } from './backlog.ts'
import type { LaneClaim } from './repository.ts'
import type { PluginLimit } from '../limits/plugin-limit.ts'
import type { LaneHold, LaneUpdate } from '../outcomes/repository.ts'

/** A class of plugins, which may use so much of a worker: see capacity.ts. */
export type LaneClass = 'proven' | 'unproven' | 'slow' | 'failing'

/**
 * The state of a lane. It moves down this list only, and each state keeps to what those above it say.
 *
 * | state          | meaning                                                                                    |
 * | -------------- | ------------------------------------------------------------------------------------------ |
 * | `open`         | attempts start                                                                             |
 * | `closing`      | nothing new starts; it is given back once nothing is under way                             |
 * | `lost`         | an outcome of it did not count: this worker does not take it again at once                 |
 * | `handing_over` | another worker is to have it, and is told of it                                            |
 * | `abandoned`    | what is under way is cut off and not recorded                                              |
 */
const LANE_STATES = ['open', 'closing', 'lost', 'handing_over', 'abandoned'] as const
export type LaneState = (typeof LANE_STATES)[number]

/**
 * Bodies in hand beyond which a lane fetches no more, in characters: few receivers get so many so fast. Where many may be under
 * way at once, so much for each of them, up to a quarter of what all lanes may have (due/reader.ts).
 */
const LANE_BODIES_CHARS = { least: 4 * 1024 * 1024, eachAllowed: 64 * 1024, most: 16 * 1024 * 1024 }
/** Of that, what replays have asked for may take: the rest is kept for what happens now. */
const BULK_BODIES_SHARE = 0.5
/** The average time of answers from which on an endpoint is slow, and how much the last one counts. */
const SLOW_MS = 2_000
const LAST_COUNTS = 0.2
/** Deliveries in hand that wait for one of their key which is in hand, too: in all, and one behind the other. */
const QUEUED_BEHIND_MAX = 1_024
export const QUEUED_BEHIND_ONE_MAX = 16
/** Deliveries in hand of a plugin that coalesces, unless it takes more at once: what is in hand is not replaced any more. */
const COALESCED_IN_HAND_MAX = 16
/** With fewer left the next ones of the key are looked for. */
const FEW_BEHIND = QUEUED_BEHIND_ONE_MAX / 2
/** After so long the queue is looked at again for what could not be told the last time. */
const LOOK_AGAIN_MS = 25
/** So long a lane is given back at most for its rate limit: a limit that is changed meanwhile counts after that. */
const PAUSE_MAX_MS = 60_000

/**
 * One plugin's lane while this worker holds it: what is queued here, what is under way, and the plugin's limits.
 * The lease makes all of it exact: nobody else sends to this plugin meanwhile. Times are `performance.now()`.
 */
export class Lane {
  readonly target: DeliveryTarget
  readonly destination: Destination
  readonly hold: LaneHold
  readonly #limitOf: (target: DeliveryTarget) => PluginLimit
  /** Deliveries that are queued, under way or not yet recorded: not to be fetched again. */
  readonly inHand = new Map<string, Job>()
  /** Deliveries of what happens now, and those that replays have asked for: the second has its turn when none of the first waits. */
  readonly live = new Backlog()
  readonly bulk = new Backlog()
  /** By the delivery of their key that goes first: it begins once that one is recorded as having ended. */
  readonly #behind = new Map<string, Job>()
  /** How many wait one behind the other up to it, by delivery. */
  readonly #depths = new Map<string, number>()
  /** Deliveries that have ended since the last look at the queue began, where order is kept. */
  readonly #ended = new Set<string>()
  readonly #abandoning = new AbortController()
  #state: LaneState = 'open'
  #bodyChars = 0
  #bulkChars = 0
  #health: Health
  #inFlight = 0
  #leaseUntil: number
  #idleSince: number
  #rateTimer: NodeJS.Timeout | null = null
  #lookTimer: NodeJS.Timeout | null = null
  #pausedUntil: number | null = null
  #answerMs = 0
  #succeeded = false
  #failed = false
  #successNotedAt = -Infinity
  #recordedHealth: Health

  /** @param limitOf what the plugin is sent by this process in all */
  constructor(
    claim: LaneClaim,
    target: DeliveryTarget,
    destination: Destination,
    limitOf: (target: DeliveryTarget) => PluginLimit,
    now: number,
    leaseMs: number,
  ) {
    this.target = target
    this.#limitOf = limitOf
    this.destination = destination
    this.hold = {
      tenantId: target.tenantId,
      pluginId: target.pluginId,
      leaseToken: claim.lease_token,
      request: destination.request,
    }
    this.#leaseUntil = now + leaseMs
    this.#idleSince = now
    const health: Health = {
      version: claim.health_version,
      breaker: claim.breaker_state,
      opens: claim.breaker_opens,
      holdUntil: null,
      holdReason: null,
      consecutiveFailures: claim.consecutive_failures,
      // Not kept apart in the row: a streak whose last failure was an answer begins anew.
      outages: destination.mayBeOutage(claim.last_error_class) ? claim.consecutive_failures : 0,
      failingSince: claim.failing_for_ms === null ? null : now - claim.failing_for_ms,
      failingAttempts: claim.failing_attempts,
      announced: claim.failing_announced,
      warned: claim.disabling_announced,
      lastErrorClass: claim.last_error_class,
      proven: claim.proven,
    }
    this.#health = claim.held_before || health.breaker === 'open' ? afterHold(health) : health
    this.#recordedHealth = this.#health
    if (claim.rate_tokens !== null) this.limit.restoreTokens(claim.rate_tokens, claim.rate_age_ms ?? 0)
  }

  get id(): string {
    return this.target.pluginId
  }

  /** The limit of all that the plugin is sent. */
  get limit(): PluginLimit {
    return this.#limitOf(this.target)
  }

  get class(): LaneClass {
    if (this.#health.consecutiveFailures > 0) return 'failing'
    if (!this.#health.proven) return 'unproven'
    return this.#answerMs >= SLOW_MS ? 'slow' : 'proven'
  }

  get health(): Health {
    return this.#health
  }

  get state(): LaneState {
    return this.#state
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Aborted when the lane is abandoned. */
  get signal(): AbortSignal {
    return this.#abandoning.signal
  }

  /** Attempts that may be under way at once: all that the plugin allows once it has shown that it answers. */
  get allowed(): number {
    const isTrusted = this.class === 'proven' || this.class === 'slow'
    return isTrusted && this.#health.breaker === 'closed' ? this.target.maxInFlight : 1
  }

  get leaseUntil(): number {
    return this.#leaseUntil
  }

  get idle(): boolean {
    return this.inHand.size === 0 && !this.mayHaveMore
  }

  get idleSince(): number {
    return this.#idleSince
  }

  /** Nothing of it is queued, under way or unrecorded: it can be given back. */
  get empty(): boolean {
    return this.#inFlight === 0 && this.inHand.size === 0
  }

  /** No more bodies are taken in hand. */
  get full(): boolean {
    return this.#bodyChars >= this.#bodyCharsMax
  }

  /** The same, of what replays have asked for. */
  get bulkFull(): boolean {
    return this.full || this.#bulkChars >= this.#bodyCharsMax * BULK_BODIES_SHARE
  }

  /** Size of the bodies in hand. */
  get bodyChars(): number {
    return this.#bodyChars
  }

  /** Size of those of them that replays have asked for. */
  get bulkChars(): number {
    return this.#bulkChars
  }

  /** There may be more due than is in hand. */
  get mayHaveMore(): boolean {
    return this.live.mayHaveMore || this.bulk.mayHaveMore
  }

  wantsFetch(): boolean {
    return this.wantsLive() || this.wantsBulk()
  }

  wantsLive(): boolean {
    return (
      this.live.wantsFetch &&
      this.isOpen &&
      !this.full &&
      this.#lookTimer === null &&
      !this.#goesOnWith(this.live.size)
    )
  }

  wantsBulk(): boolean {
    return (
      this.bulk.wantsFetch &&
      this.isOpen &&
      !this.bulkFull &&
      this.#lookTimer === null &&
      !this.#goesOnWith(this.live.size + this.bulk.size)
    )
  }

  /**
   * So many that can begin are enough while many of their keys wait behind them: each goes on as the one before it ends.
   * More that are found now would be set aside, at two writes and a look for each. Where newer ones replace what waits, no
   * more is taken in hand than is sent soon, of what happens now and what replays have asked for together.
   */
  #goesOnWith(ready: number): boolean {
    if (this.target.coalesces) return ready >= this.#coalescedMax / 2 || this.coalescedFree === 0
    return this.#behind.size >= QUEUED_BEHIND_MAX / 2 && ready >= this.allowed
  }

  /** Something may be due that no look at the queue has seen. */
  hint(): void {
    this.live.hint()
    this.bulk.hint()
  }

  /** A look at the queue begins: what it finds may stand behind deliveries that end meanwhile. */
  beginLook(): void {
    this.#ended.clear()
  }

  /** This delivery has ended since the look began: what was found to stand behind it is next. */
  hasEnded(deliveryId: string): boolean {
    return this.#ended.has(deliveryId)
  }

  enqueue(job: Job): void {
    this.#take(job)
    this.#backlogOf(job).push(job)
  }

  /**
   * Takes a delivery in hand that waits for another one of its key. @returns false if that one is not in hand, or too many
   * wait like it, or it would wait for what is less urgent
   */
  enqueueBehind(job: Job, firstId: string): boolean {
    const first = this.inHand.get(firstId)
    if (first === undefined || this.#behind.has(firstId) || (first.bulk && !job.bulk)) return false
    const depth = (this.#depths.get(firstId) ?? 0) + 1
    if (depth > QUEUED_BEHIND_ONE_MAX || this.#behind.size >= QUEUED_BEHIND_MAX) return false
    this.#take(job)
    this.#behind.set(firstId, job)
    this.#depths.set(job.deliveryId, depth)
    return true
  }

  /** Deliveries that may be taken in hand now where newer ones replace what waits. */
  get coalescedFree(): number {
    return Math.max(0, this.#coalescedMax - this.live.size - this.bulk.size)
  }

  /** The keys of what is in hand of which only the newest is sent. */
  coalesceKeys(): string[] {
    return [...this.inHand.values()].flatMap(({ coalesceKey }) => (coalesceKey === null ? [] : [coalesceKey]))
  }

  /** Something is set aside behind this delivery: once it has ended there is more to find. */
  noteFollowed(deliveryId: string): void {
    const job = this.inHand.get(deliveryId)
    if (job !== undefined) job.followed = true
  }

  /**
   * Puts a delivery that a replay has asked for among what happens now: something of that waits for it. One that waits for
   * another of its key gets there when it begins.
   */
  promote(deliveryId: string): void {
    const job = this.inHand.get(deliveryId)
    if (job?.bulk !== true) return
    const isNext = this.bulk.remove(job)
    if (!isNext && !this.#waitsBehind(job)) return
    job.bulk = false
    this.#bulkChars -= job.body?.length ?? 0
    if (isNext) this.live.push(job)
  }

  /** Has the queue looked at again in a moment: what was found is not to be sent yet, and nobody will tell when it is. */
  lookAgainLater(look: () => void): void {
    this.hint()
    this.restLooking(look)
  }

  /**
   * Has the queue not looked at for a moment, and then again if there may be more: a look that finds nothing walks past all that
   * is due of the keys that are in hand.
   */
  restLooking(look: () => void): void {
    this.#lookTimer ??= setTimeout(() => {
      this.#lookTimer = null
      look()
    }, LOOK_AGAIN_MS)
  }

  /** Deliveries were found that are about to be enqueued: it is not to be given back as idle before. */
  keep(): void {
    this.#idleSince = performance.now()
  }

  canStart(): boolean {
    return this.isOpen && this.#inFlight < this.allowed && this.live.size + this.bulk.size > 0
  }

  /** The class that the next attempt has: one that a replay has asked for takes no more capacity than the unproven. */
  get nextClass(): LaneClass {
    return this.live.size > 0 ? this.class : bulkClass(this.class)
  }

  /** The delivery to attempt next, which is under way from now on, until `ended`. */
  begin(): Job | undefined {
    const job = this.live.shift() ?? this.bulk.shift()
    if (job !== undefined) this.#inFlight++
    return job
  }

  /** The attempt of a delivery has ended. */
  ended(): void {
    this.#inFlight--
  }

  /** A delivery is recorded, or is let go of unrecorded. @param ended it is not attempted again by itself */
  done(deliveryId: string, now: number, ended = false): void {
    const job = this.inHand.get(deliveryId)
    if (job?.followed === true && this.#countBehind(deliveryId) < FEW_BEHIND) this.hint()
    // What is newer has waited for it.
    if (job != null && job.coalesceKey !== null) this.hint()
    if (this.target.ordered && ended && this.isOpen) this.#ended.add(deliveryId)
    this.#letGoOn(deliveryId, ended && this.isOpen)
    this.#drop(deliveryId)
    if (this.inHand.size === 0) this.#idleSince = now
  }

  renewed(leaseUntil: number): void {
    this.#leaseUntil = leaseUntil
  }

  close(): void {
    this.#moveTo('closing')
  }

  lose(): void {
    this.#moveTo('lost')
  }

  handOver(): void {
    this.#moveTo('handing_over')
  }

  abandon(): void {
    this.#moveTo('abandoned')
    this.#abandoning.abort()
  }

  /** Gives up what was not started yet: it stays due in the database. */
  #moveTo(state: LaneState): void {
    if (LANE_STATES.indexOf(state) > LANE_STATES.indexOf(this.#state)) this.#state = state
    for (const job of [...this.live.clear(), ...this.bulk.clear()]) this.#drop(job.deliveryId)
    for (const job of this.#behind.values()) this.#drop(job.deliveryId)
    this.#behind.clear()
    for (const timer of [this.#rateTimer, this.#lookTimer]) if (timer !== null) clearTimeout(timer)
    this.#rateTimer = this.#lookTimer = null
  }

  /** Closes it until its rate limit allows the next attempt: what waits so long is not to take up a worker's capacity. */
  pause(waitMs: number, now: number): void {
    this.#pausedUntil = now + Math.min(waitMs, PAUSE_MAX_MS)
    this.close()
  }

  /** For how long nobody is to take it once it is given back; null: anybody may at once. */
  pauseLeft(now: number): number | null {
    return this.#pausedUntil === null ? null : Math.max(0, this.#pausedUntil - now)
  }

  startLater(waitMs: number, start: () => void): void {
    this.#rateTimer ??= setTimeout(() => {
      this.#rateTimer = null
      start()
    }, waitMs)
  }

  noteResult(ok: boolean, health: Health, durationMs: number): void {
    this.#health = health
    if (ok) this.#answerMs += (durationMs - this.#answerMs) * LAST_COUNTS
    if (ok) this.#succeeded = true
    else this.#failed = true
  }

  /** Notes what `plugin.failing` and `plugin.recovered` said last; their own transaction writes it. */
  announced(announced: boolean): void {
    this.#health = { ...this.#health, announced, warned: announced && this.#health.warned }
  }

  /** `plugin.disabling_soon` is being told; its own transaction writes it. */
  warned(): void {
    this.#health = { ...this.#health, warned: true }
  }

  /**
   * Returns what the lane's row should say now, or null if it says so already. While all is well the last success is
   * noted every `SUCCESS_NOTE_MS` only: a write a batch would tell nobody anything new.
   */
  update(now: number): LaneUpdate | null {
    const noteSuccess = this.#succeeded && now - this.#successNotedAt >= SUCCESS_NOTE_MS
    if (this.#health === this.#recordedHealth && !this.#failed && !noteSuccess) return null
    const health = this.#health
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
      rateTokens: this.limit.tokensLeft,
    }
    if (this.#succeeded) this.#successNotedAt = now
    this.#succeeded = this.#failed = false
    this.#recordedHealth = health
    return update
  }

  get #bodyCharsMax(): number {
    const { least, eachAllowed, most } = LANE_BODIES_CHARS
    return Math.min(most, Math.max(least, this.allowed * eachAllowed))
  }

  get #coalescedMax(): number {
    return Math.max(COALESCED_IN_HAND_MAX, this.allowed)
  }

  #take(job: Job): void {
    const chars = job.body?.length ?? 0
    this.inHand.set(job.deliveryId, job)
    this.#bodyChars += chars
    if (job.bulk) this.#bulkChars += chars
  }

  #waitsBehind(job: Job): boolean {
    for (const other of this.#behind.values()) if (other === job) return true
    return false
  }

  #countBehind(deliveryId: string): number {
    let count = 0
    for (let job = this.#behind.get(deliveryId); job !== undefined; job = this.#behind.get(job.deliveryId))
      count++
    return count
  }

  /** Begins what waits for a delivery, or lets go of it with all that waits for it in turn: it is found again. */
  #letGoOn(deliveryId: string, begins: boolean): void {
    for (let id = deliveryId; ;) {
      const next = this.#behind.get(id)
      if (next === undefined) return
      this.#behind.delete(id)
      this.#depths.delete(next.deliveryId)
      if (begins) {
        this.#backlogOf(next).push(next)
        return
      }
      this.hint()
      this.#drop(next.deliveryId)
      id = next.deliveryId
    }
  }

  #drop(deliveryId: string): void {
    const job = this.inHand.get(deliveryId)
    if (job === undefined) return
    const chars = job.body?.length ?? 0
    this.#bodyChars -= chars
    if (job.bulk) this.#bulkChars -= chars
    this.inHand.delete(deliveryId)
    this.#depths.delete(deliveryId)
  }

  #backlogOf({ bulk }: Job): Backlog {
    return bulk ? this.bulk : this.live
  }
}

const SUCCESS_NOTE_MS = 5_000

export function bulkClass(laneClass: LaneClass): LaneClass {
  return laneClass === 'failing' || laneClass === 'slow' ? laneClass : 'unproven'
}
