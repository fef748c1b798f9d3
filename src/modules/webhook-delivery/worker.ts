import { hostname } from 'node:os'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Egress } from '../../infra/egress.ts'
import type { Metrics } from '../../infra/metrics.ts'
import { type Attempt, attempt } from './attempt.ts'
import { BodyCache } from './body-cache.ts'
import { afterAttempt, effectsOf, type HealthEffect } from './health.ts'
import { type Job, Lane, type LaneClass } from './lane.ts'
import {
  claimLanes,
  discoverLanes,
  type DueDelivery,
  fetchBodies,
  fetchDue,
  giveUpSkipped,
  type LaneClaim,
  type Outcome,
  releaseLanes,
  renewLeases,
} from './lane-repository.ts'
import { OutcomeWriter, type Recorded } from './outcome-writer.ts'
import type { TargetCache } from './targets.ts'
import { judge } from './verdict.ts'

export interface WorkerContext {
  pool: pg.Pool
  egress: Egress
  targets: TargetCache
  metrics: Metrics
  log: FastifyBaseLogger
  /** Does what a change of health asks for: publishes `plugin.failing`, disables the plugin … */
  applyEffect(lane: Lane, effect: HealthEffect | 'gone'): Promise<void>
}

export interface WorkerOptions {
  leaseMs: number
  pollMs: number
  maxInFlight: number
  disableAfterMs: number
  /** Only this tenant's deliveries; null: everybody's. */
  tenantId: string | null
  /** What is due is decided by this clock instead of the database's: for tests. */
  now: (() => Date) | null
}

export interface DeliveryCounts {
  processed: number
  sent: number
  retried: number
  failed: number
}

/**
 * How much of a worker's room for attempts each class may fill. A dead endpoint holds its place for the whole
 * deadline, a live one for milliseconds: without shares 1,024 dead ones would be all that a worker does. What is
 * kept free for the better class is what makes the live ones' latency independent of the dead.
 */
const CLASS_SHARE: Record<LaneClass, number> = { proven: 1, unproven: 0.8, failing: 0.4 }
/** Lanes asked for in one statement. */
const CLAIM_MAX = 256
/** Deliveries fetched in one statement, over all lanes. */
const FETCH_TOTAL_MAX = 2_048
/** Bodies in one fetch, and those kept for fan-out: bounds a worker's memory, whatever events weigh. */
const FETCH_BODY_MAX_BYTES = 16 * 1024 * 1024
const BODY_CACHE_MAX_CHARS = 16 * 1024 * 1024
/** An idle lane is kept for so long: the next event of a busy plugin finds it held. */
const LINGER_MS = 1_000
const MAINTENANCE_MS = 250
/** A lane that another worker holds is not asked for again at every hint. */
const REFUSED_MS = 1_000
/** Starts nothing so close to the end of a lease: the outcome would come too late to count. */
const LEASE_MARGIN_MS = 1_000
const DATABASE_RETRY_MS = 500

/**
 * Delivers what is due. It looks for plugins with due deliveries (told by signals, and by itself every `pollMs`),
 * leases their lanes, fetches what is due in them, attempts it, and records the outcomes in batches. No database
 * connection is held during an attempt. See `lane-repository.ts` for the statements and their fences.
 */
export class DeliveryWorker {
  readonly owner = `${hostname()}:${process.pid}:${crypto.randomUUID().slice(0, 8)}`
  readonly #ctx: WorkerContext
  readonly #options: WorkerOptions
  readonly #writer: OutcomeWriter
  readonly #bodies = new BodyCache(BODY_CACHE_MAX_CHARS)
  readonly #lanes = new Map<string, Lane>()
  readonly #candidates = new Map<string, LaneClass>()
  readonly #refused = new Map<string, number>()
  readonly #inFlight: Record<LaneClass, number> = { proven: 0, unproven: 0, failing: 0 }
  readonly #counts: DeliveryCounts = { processed: 0, sent: 0, retried: 0, failed: 0 }
  readonly #effects = new Set<Promise<void>>()
  #pollTimer: NodeJS.Timeout | null = null
  #maintenanceTimer: NodeJS.Timeout | null = null
  #retryTimer: NodeJS.Timeout | null = null
  #maintaining: Promise<void> | null = null
  #refilling: Promise<void> | null = null
  #again = false
  #mustDiscover = false
  #renewedAt = 0
  #running = false
  #settledWaiters: (() => void)[] = []

  constructor(ctx: WorkerContext, options: WorkerOptions) {
    this.#ctx = ctx
    this.#options = options
    this.#writer = new OutcomeWriter({
      pool: ctx.pool,
      log: ctx.log,
      now: () => this.#clock(),
      onRecorded: (recorded, counted) => this.#recorded(recorded, counted),
    })
  }

  /** Begins to look for work, at once and then by signals and polls. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#poll()
  }

  /** Starts nothing more, waits for what is under way, records it and gives the lanes back. Tolerates twice. */
  async stop(): Promise<void> {
    this.#running = false
    for (const timer of [this.#pollTimer, this.#retryTimer]) if (timer !== null) clearTimeout(timer)
    this.#pollTimer = this.#retryTimer = null
    this.#candidates.clear()
    for (const lane of this.#lanes.values()) lane.close()
    await this.#refilling
    for (const lane of this.#lanes.values()) lane.close()
    await this.#settled()
    if (this.#maintenanceTimer !== null) clearInterval(this.#maintenanceTimer)
    this.#maintenanceTimer = null
    await this.#maintaining
    await this.#release([...this.#lanes.values()])
    await Promise.all(this.#effects)
    this.#bodies.clear()
  }

  /** Delivers all that is due now, then stops. @param deadlineMs what is not done by then stays due */
  async drain(deadlineMs: number): Promise<DeliveryCounts> {
    const end = performance.now() + deadlineMs
    this.#running = true
    let before = -1
    while (performance.now() < end) {
      const candidates = await discoverLanes(this.#ctx.pool, this.#scope())
      if (candidates.length === 0 && this.#counts.processed === before) break
      before = this.#counts.processed
      for (const found of candidates) this.#candidates.set(found.plugin_id, classOf(found))
      for (const lane of this.#lanes.values()) lane.more = true
      this.#kick()
      await this.#refilling
      await this.#settled(end)
    }
    await this.stop()
    return { ...this.#counts }
  }

  /** Signal `deliveries_due`: these plugins (none named: any) have new work. */
  hint(pluginIds: readonly string[]): void {
    if (!this.#running) return
    if (pluginIds.length === 0) this.#mustDiscover = true
    const now = performance.now()
    for (const pluginId of pluginIds) {
      const lane = this.#lanes.get(pluginId)
      if (lane !== undefined) {
        lane.more = true
        lane.hints++
      } else if ((this.#refused.get(pluginId) ?? 0) < now) {
        // Not known any closer: the claim finds out.
        if (!this.#candidates.has(pluginId)) this.#candidates.set(pluginId, 'proven')
      }
    }
    this.#kick()
  }

  /** Signal `plugin_changed`: lets go of the lane, to take it up again with the new settings. */
  pluginChanged(pluginIds: readonly string[]): void {
    const changed = pluginIds.length === 0 ? [...this.#lanes.keys()] : pluginIds
    for (const pluginId of changed) {
      const lane = this.#lanes.get(pluginId)
      if (lane === undefined) continue
      lane.close()
      this.#letGo(lane)
    }
  }

  #poll(): void {
    if (!this.#running) return
    this.#pollTimer = setTimeout(() => this.#poll(), this.#options.pollMs)
    this.#mustDiscover = true
    for (const lane of this.#lanes.values()) lane.more = true
    this.#kick()
  }

  /** Has one refill under way, and another after it if something new came meanwhile. */
  #kick(): void {
    if (!this.#running) return
    this.#again = true
    if (this.#refilling !== null || this.#retryTimer !== null) return
    this.#refilling = this.#refill().finally(() => {
      this.#refilling = null
      this.#checkSettled()
      if (this.#again && this.#retryTimer === null) this.#kick()
    })
  }

  async #refill(): Promise<void> {
    try {
      while (this.#again && this.#running) {
        this.#again = false
        if (this.#mustDiscover) await this.#discover()
        await this.#claim()
        await this.#fetch()
      }
    } catch (error) {
      const { message, code } = error as Error & { code?: string }
      this.#ctx.log.error({ err: { message, code } }, 'delivery worker: looking for work failed')
      this.#again = this.#mustDiscover = true
      if (!this.#running) return
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = null
        this.#kick()
      }, DATABASE_RETRY_MS)
    }
  }

  async #discover(): Promise<void> {
    this.#mustDiscover = false
    for (const found of await discoverLanes(this.#ctx.pool, this.#scope())) {
      if (!this.#lanes.has(found.plugin_id)) this.#candidates.set(found.plugin_id, classOf(found))
    }
  }

  async #claim(): Promise<void> {
    const chosen = this.#choose()
    if (chosen.length === 0) return
    const now = performance.now()
    const claims = await claimLanes(this.#ctx.pool, {
      pluginIds: chosen,
      owner: this.owner,
      leaseMs: this.#options.leaseMs,
      now: this.#clock(),
    })
    this.#ctx.metrics.claims.inc({ kind: 'lanes' })
    for (const pluginId of chosen) this.#candidates.delete(pluginId)
    const taken = new Set(claims.map((claim) => claim.plugin_id))
    for (const pluginId of chosen) if (!taken.has(pluginId)) this.#refused.set(pluginId, now + REFUSED_MS)
    if (this.#candidates.size > 0) this.#again = true
    if (claims.length > 0) await this.#open(claims, now)
  }

  /** The lanes to ask for next: the better class first, each within its share of the free room. */
  #choose(): string[] {
    if (this.#candidates.size === 0) return []
    const held: Record<LaneClass, number> = { proven: 0, unproven: 0, failing: 0 }
    for (const lane of this.#lanes.values()) held[lane.class]++
    const chosen: string[] = []
    for (const wanted of ['proven', 'unproven', 'failing'] as const) {
      let room = this.#limit(wanted) - total(held, wanted)
      for (const [pluginId, laneClass] of this.#candidates) {
        if (chosen.length >= CLAIM_MAX) return chosen
        if (room <= 0) break
        if (laneClass !== wanted || this.#lanes.has(pluginId)) continue
        chosen.push(pluginId)
        held[wanted]++
        room--
      }
    }
    return chosen
  }

  async #open(claims: readonly LaneClaim[], now: number): Promise<void> {
    const targets = await this.#ctx.targets.get(
      claims.map((claim) => ({
        tenantId: claim.tenant_id,
        pluginId: claim.plugin_id,
        revision: claim.revision,
      })),
    )
    const unusable: { pluginId: string; leaseToken: number; rateTokens: number | null }[] = []
    for (const claim of claims) {
      const held = { pluginId: claim.plugin_id, leaseToken: claim.lease_token }
      if (claim.skip_before !== null) {
        while ((await giveUpSkipped(this.#ctx.pool, { ...held, skipBefore: claim.skip_before })) > 0);
      }
      const target = targets.get(claim.plugin_id)
      if (target?.active === true && this.#running) {
        this.#lanes.set(claim.plugin_id, new Lane(claim, target, now, this.#options.leaseMs))
      } else unusable.push({ ...held, rateTokens: claim.rate_tokens })
    }
    if (unusable.length > 0) await releaseLanes(this.#ctx.pool, unusable)
    this.#maintenanceTimer ??= setInterval(() => {
      this.#maintaining ??= this.#maintain().finally(() => (this.#maintaining = null))
    }, MAINTENANCE_MS)
  }

  async #fetch(): Promise<void> {
    const wants: { lane: Lane; most: number; hints: number }[] = []
    const inHand: string[] = []
    let rows = 0
    for (const lane of this.#lanes.values()) {
      if (rows >= FETCH_TOTAL_MAX) {
        this.#again = true
        break
      }
      if (!lane.wantsFetch()) continue
      wants.push({ lane, most: lane.fetchSize, hints: lane.hints })
      for (const id of lane.inHand) inHand.push(id)
      rows += lane.fetchSize
    }
    if (wants.length === 0) return
    const due = await fetchDue(
      this.#ctx.pool,
      wants.map(({ lane, most }) => ({ pluginId: lane.id, most })),
      inHand,
      this.#clock(),
    )
    this.#ctx.metrics.claims.inc({ kind: 'deliveries' })
    const byPlugin = Map.groupBy(due, (row) => row.plugin_id)
    const fresh: { lane: Lane; row: DueDelivery & { id: string; event_id: string; event: string } }[] = []
    for (const { lane, hints } of wants) {
      const found = byPlugin.get(lane.id) ?? []
      if ((found[0]?.revision ?? -1) !== lane.target.revision) {
        this.pluginChanged([lane.id])
        continue
      }
      const rowsOfLane = found.filter(isDue)
      lane.fetched(rowsOfLane.length, hints)
      if (!lane.closing) for (const row of rowsOfLane) fresh.push({ lane, row })
    }
    const { bodies, deferred } = await this.#bodiesOf(fresh)
    for (const { lane, row } of fresh) {
      if (lane.closing) continue
      if (deferred.has(row.event_id)) {
        lane.more = true
        continue
      }
      lane.inHand.add(row.id)
      lane.queue.push({
        deliveryId: row.id,
        eventId: row.event_id,
        event: row.event,
        attemptCount: row.attempt_count,
        roundFailures: row.round_failures,
        body: bodies.get(row.event_id) ?? null,
      })
    }
    for (const { lane } of wants) this.#startAttempts(lane)
  }

  async #bodiesOf(
    fresh: readonly { lane: Lane; row: { event_id: string } }[],
  ): Promise<{ bodies: Map<string, string>; deferred: Set<string> }> {
    const bodies = new Map<string, string>()
    const deferred = new Set<string>()
    const unknown = new Map<string, { tenantId: string; eventId: string }>()
    for (const { lane, row } of fresh) {
      if (bodies.has(row.event_id)) continue
      const body = this.#bodies.get(row.event_id)
      if (body !== undefined) bodies.set(row.event_id, body)
      else unknown.set(row.event_id, { tenantId: lane.target.tenantId, eventId: row.event_id })
    }
    if (unknown.size > 0) {
      for (const found of await fetchBodies(this.#ctx.pool, [...unknown.values()], FETCH_BODY_MAX_BYTES)) {
        if (found.over_budget) deferred.add(found.id)
        else if (found.body !== null) {
          bodies.set(found.id, found.body)
          this.#bodies.set(found.id, found.body)
        }
      }
    }
    return { bodies, deferred }
  }

  /** Starts what the lane, its class and the worker have room for. */
  #startAttempts(lane: Lane): void {
    const now = performance.now()
    while (
      !lane.closing &&
      lane.queue.length > 0 &&
      lane.inFlight < lane.allowed &&
      total(this.#inFlight, lane.class) < this.#limit(lane.class) &&
      now < lane.leaseUntil - LEASE_MARGIN_MS
    ) {
      const waitMs = lane.takeToken(now)
      if (waitMs > 0) {
        lane.rateTimer ??= setTimeout(() => {
          lane.rateTimer = null
          this.#startAttempts(lane)
        }, waitMs)
        break
      }
      const job = lane.queue.shift()
      if (job !== undefined) void this.#deliver(lane, job)
    }
    if (lane.wantsFetch()) this.#kick()
  }

  async #deliver(lane: Lane, job: Job): Promise<void> {
    const laneClass = lane.class
    lane.inFlight++
    this.#inFlight[laneClass]++
    const crowded = total(this.#inFlight, 'proven') >= this.#options.maxInFlight
    try {
      if (job.body === null) this.#writer.push({ lane, outcome: bodyGone(lane, job) })
      else
        this.#conclude(
          lane,
          job,
          await attempt(this.#ctx.egress, lane.target, { id: job.eventId, body: job.body }),
        )
    } catch (error) {
      // The delivery stays due; letting go of the lane brings it back through the front door.
      this.#ctx.log.error({ err: error, delivery_id: job.deliveryId }, 'delivery attempt broke')
      lane.inHand.delete(job.deliveryId)
      lane.close()
    }
    lane.inFlight--
    this.#inFlight[laneClass]--
    if (lane.closing) this.#letGo(lane)
    else this.#startAttempts(lane)
    if (crowded)
      for (const other of this.#lanes.values()) if (other.queue.length > 0) this.#startAttempts(other)
  }

  #conclude(lane: Lane, job: Job, result: Attempt): void {
    const now = performance.now()
    const verdict = judge(result, lane.target.retrySchedule, job.roundFailures + (result.ok ? 0 : 1))
    lane.health = afterAttempt(
      lane.health,
      { ok: result.ok, status: result.status, errorClass: result.errorClass, holdMs: verdict.holdMs },
      now,
    )
    lane.noteResult(result.ok)
    this.#ctx.metrics.attemptDuration.observe({ outcome: verdict.status }, result.durationMs / 1000)
    const outcome: Outcome = {
      tenantId: lane.target.tenantId,
      pluginId: lane.id,
      leaseToken: lane.token,
      deliveryId: job.deliveryId,
      previousAttempts: job.attemptCount,
      attempted: true,
      status: verdict.status,
      reason: verdict.reason,
      delayMs: verdict.delayMs,
      startedAt: result.startedAt,
      durationMs: Math.round(result.durationMs),
      responseStatus: result.status,
      errorClass: result.errorClass,
      errorDetail: result.errorDetail,
      responseHeaders: JSON.stringify(result.headers),
      responseBody: result.body,
      responseTruncated: result.truncated,
    }
    this.#writer.push({ lane, outcome })
    for (const effect of effectsOf(lane.health, this.#options, now)) this.#apply(lane, effect)
    if (verdict.gone) this.#apply(lane, 'gone')
    if (lane.health.holdUntil !== null) lane.close()
  }

  #recorded(recorded: readonly Recorded[], counted: ReadonlySet<string>): void {
    for (const { lane, outcome } of recorded) {
      lane.inHand.delete(outcome.deliveryId)
      if (counted.has(outcome.deliveryId)) this.#count(lane, outcome)
      else {
        this.#ctx.metrics.fencedOutcomes.inc()
        lane.close()
      }
      if (lane.closing) this.#letGo(lane)
      else if (lane.inHand.size === 0) lane.idleSince = performance.now()
    }
    this.#checkSettled()
  }

  #count(lane: Lane, outcome: Outcome): void {
    this.#counts.processed++
    if (outcome.status === 'sent') this.#counts.sent++
    else if (outcome.status === 'retry') this.#counts.retried++
    else this.#counts.failed++
    this.#ctx.metrics.deliveryAttempts.inc({
      outcome: outcome.status,
      error_class: outcome.errorClass ?? 'none',
    })
    const line = {
      tenant_id: outcome.tenantId,
      delivery_id: outcome.deliveryId,
      plugin: lane.target.slug,
      attempt: outcome.previousAttempts + 1,
      status: outcome.responseStatus,
      error_class: outcome.errorClass,
      duration_ms: outcome.durationMs,
    }
    if (outcome.status === 'sent') this.#ctx.log.info(line, 'webhook sent')
    else this.#ctx.log.warn({ ...line, outcome: outcome.status, reason: outcome.reason }, 'webhook failed')
  }

  #apply(lane: Lane, effect: HealthEffect | 'gone'): void {
    if (effect === 'failing' || effect === 'recovered') {
      lane.health = { ...lane.health, announced: effect === 'failing' }
    } else lane.close()
    const applied = this.#writer
      .flushed()
      .then(() => this.#ctx.applyEffect(lane, effect))
      .catch((error: unknown) => {
        this.#ctx.log.error(
          { err: (error as Error).message, plugin: lane.target.slug, effect },
          'health effect not applied',
        )
      })
      .finally(() => this.#effects.delete(applied))
    this.#effects.add(applied)
  }

  /** Gives a closed lane back once nothing of it is under way or unrecorded. */
  #letGo(lane: Lane): void {
    if (lane.inFlight > 0 || lane.inHand.size > 0 || this.#lanes.get(lane.id) !== lane) return
    this.#lanes.delete(lane.id)
    const released = this.#release([lane]).then(() => {
      if (this.#running && lane.health.holdUntil === null) this.hint([lane.id])
    })
    const tracked: Promise<void> = released.finally(() => this.#effects.delete(tracked))
    this.#effects.add(tracked)
  }

  async #release(lanes: readonly Lane[]): Promise<void> {
    if (lanes.length === 0) return
    for (const lane of lanes) this.#lanes.delete(lane.id)
    const held = lanes.map((lane) => ({
      pluginId: lane.id,
      leaseToken: lane.token,
      rateTokens: lane.tokensLeft,
    }))
    await releaseLanes(this.#ctx.pool, held).catch((error: unknown) => {
      this.#ctx.log.warn({ err: (error as Error).message }, 'lanes not given back: their leases run out')
    })
  }

  /** Renews leases, gives idle lanes back, forgets lanes whose lease has passed. */
  async #maintain(): Promise<void> {
    const now = performance.now()
    for (const lane of this.#lanes.values()) {
      if (lane.leaseUntil <= now) {
        lane.close()
        this.#letGo(lane)
      }
    }
    const idle = [...this.#lanes.values()].filter((lane) => lane.idle && now - lane.idleSince > LINGER_MS)
    await this.#release(idle)
    if (this.#lanes.size === 0 && this.#running && this.#maintenanceTimer !== null) {
      clearInterval(this.#maintenanceTimer)
      this.#maintenanceTimer = null
      this.#refused.clear()
    }
    if (now - this.#renewedAt >= this.#options.leaseMs / 3 && this.#lanes.size > 0) {
      this.#renewedAt = now
      await this.#renew([...this.#lanes.values()], now)
    }
    this.#checkSettled()
  }

  async #renew(lanes: readonly Lane[], now: number): Promise<void> {
    try {
      const held = lanes.map((lane) => ({ pluginId: lane.id, leaseToken: lane.token }))
      const renewed = await renewLeases(this.#ctx.pool, held, this.#options.leaseMs)
      for (const lane of lanes) {
        if (renewed.has(lane.id)) lane.leaseUntil = now + this.#options.leaseMs
        else lane.close()
        if (lane.closing) this.#letGo(lane)
      }
    } catch (error) {
      this.#ctx.log.warn({ err: (error as Error).message }, 'leases not renewed')
    }
  }

  #limit(laneClass: LaneClass): number {
    return Math.max(1, Math.floor(this.#options.maxInFlight * CLASS_SHARE[laneClass]))
  }

  #scope(): { tenantId: string | null; now: Date | null } {
    return { tenantId: this.#options.tenantId, now: this.#clock() }
  }

  #clock(): Date | null {
    return this.#options.now?.() ?? null
  }

  #isSettled(): boolean {
    if (this.#refilling !== null && this.#running) return false
    for (const lane of this.#lanes.values()) {
      if (lane.inFlight > 0 || lane.inHand.size > 0 || (this.#running && lane.more && !lane.closing))
        return false
    }
    return true
  }

  async #settled(end = Infinity): Promise<void> {
    while (!this.#isSettled() && performance.now() < end) {
      await new Promise<void>((resolve) => this.#settledWaiters.push(resolve))
    }
    await this.#writer.flushed()
  }

  #checkSettled(): void {
    if (this.#settledWaiters.length === 0) return
    for (const wake of this.#settledWaiters.splice(0)) wake()
  }
}

/** What is under way in this class and the worse ones: the room that a class has is what they leave. */
function total(counts: Record<LaneClass, number>, laneClass: LaneClass): number {
  const { proven, unproven, failing } = counts
  if (laneClass === 'failing') return failing
  return laneClass === 'unproven' ? unproven + failing : proven + unproven + failing
}

function classOf(candidate: { failing: boolean; proven: boolean }): LaneClass {
  if (candidate.failing) return 'failing'
  return candidate.proven ? 'proven' : 'unproven'
}

function isDue(row: DueDelivery): row is DueDelivery & { id: string; event_id: string; event: string } {
  return row.id !== null
}

function bodyGone(lane: Lane, job: Job): Outcome {
  return {
    tenantId: lane.target.tenantId,
    pluginId: lane.id,
    leaseToken: lane.token,
    deliveryId: job.deliveryId,
    previousAttempts: job.attemptCount,
    attempted: false,
    status: 'failed',
    reason: 'body_gone',
    delayMs: null,
    startedAt: new Date(),
    durationMs: 0,
    responseStatus: null,
    errorClass: null,
    errorDetail: null,
    responseHeaders: null,
    responseBody: null,
    responseTruncated: false,
  }
}
