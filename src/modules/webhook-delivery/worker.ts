import { hostname } from 'node:os'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Metrics } from '#infra/metrics.ts'
import type { StatsRecorder } from '#infra/statistics/recorder.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { Pulse, type Standing } from '#lib/async/pulse.ts'
import { DueReader } from './due/reader.ts'
import { EffectQueue } from './health/effect-queue.ts'
import type { HealthEffect } from './health/health.ts'
import type { Job } from './lanes/backlog.ts'
import type { Lane } from './lanes/lane.ts'
import { LaneKeeper } from './lanes/keeper.ts'
import type { Outcome } from './outcomes/repository.ts'
import { OutcomeWriter, type Recorded } from './outcomes/writer.ts'
import { Sender } from './sender.ts'
import { type DeliveryCounts, Tally } from './outcomes/tally.ts'
import type { Destination } from './destinations/destination.ts'
import type { PluginLimits } from './limits/plugin-limits.ts'
import type { DeliveryTarget, TargetCache } from './destinations/targets.ts'

export interface WorkerContext {
  pool: pg.Pool
  secretBox: SecretBox
  targets: TargetCache
  limits: PluginLimits
  destinationOf(target: DeliveryTarget): Destination
  metrics: Metrics
  statistics: StatsRecorder
  log: FastifyBaseLogger
  /** The URL by which the service is called from outside; null: nobody has said so. */
  origin: string | null
  /** Tells every worker that this plugin's lane is free and has work. */
  announceFree(pluginId: string): void
  /** Tells every worker that there is one more, or one fewer. */
  announceWorker(): void
  /** Outcomes of the tenant's deliveries are written. */
  onOutcome(tenantId: string): void
  /** Does what a change of health asks for: publishes `plugin.failing`, disables the plugin … */
  applyEffect(lane: Lane, effect: HealthEffect | 'gone', cause: Outcome): Promise<void>
}

export interface WorkerOptions {
  leaseMs: number
  pollMs: number
  /** From one look at who shares the lanes to the next: who comes or goes says so, and idle is to cost few statements. */
  shareMs: number
  maxInFlight: number
  disableAfterMs: number
  /** Only this tenant's deliveries; null: everybody's. */
  tenantId: string | null
  /** Replaces the database's clock in deciding what is due: for tests. */
  now: (() => Date) | null
}

const MAINTENANCE_MS = 250
/**
 * Attempts under way may take so long to end when the worker stops; they have up to 30 s otherwise, and an
 * orchestrator kills after 10 s. What has not ended by then stays due and goes out again.
 */
const STOP_GRACE_MS = 5_000
/** Draining ends when so many looks in a row have brought nothing: what is due then is out of reach. */
const DRAIN_IDLE_ROUNDS = 2
const DATABASE_RETRY_MS = 500
/** Where a rate limit has the next attempt wait longer, the lane is given back meanwhile. */
const LONG_WAIT_MS = 5_000

/**
 * Delivers what is due. It finds plugins with due deliveries (told by signals, and by itself every `pollMs`),
 * leases their lanes (lanes/keeper.ts), fetches what is due in them (due/reader.ts), attempts it (sender.ts), and has
 * the outcomes recorded in batches (outcomes/writer.ts). No database connection is held during an attempt.
 */
export class DeliveryWorker {
  readonly #ctx: WorkerContext
  readonly #options: WorkerOptions
  readonly #keeper: LaneKeeper
  readonly #reader: DueReader
  readonly #writer: OutcomeWriter
  /** Attempts have not begun because of outcomes that wait to be written. */
  #isHeldBack = false
  readonly #sender: Sender
  readonly #effects: EffectQueue
  readonly #tally: Tally
  readonly #pulse = new Pulse()
  /** Work on the side that stopping waits for. */
  readonly #aside = new Set<Promise<void>>()
  readonly #settledWaiters = new Set<() => void>()
  #running = false
  #again = false
  #mustDiscover = false
  #mustShare = false
  /** The others know of this worker. */
  #isAnnounced = false
  /** Some lane waits for memory that other lanes' bodies have taken. */
  #starved = false
  #refilling: Promise<void> | null = null
  #maintaining: Promise<void> | null = null
  #pollTimer: NodeJS.Timeout | null = null
  #shareTimer: NodeJS.Timeout | null = null
  #retryTimer: NodeJS.Timeout | null = null
  #maintenanceTimer: NodeJS.Timeout | null = null

  constructor(ctx: WorkerContext, options: WorkerOptions) {
    this.#ctx = ctx
    this.#options = options
    const now = (): Date | null => options.now?.() ?? null
    this.#keeper = new LaneKeeper(
      { ...ctx, onFree: (pluginIds) => this.hint(pluginIds) },
      {
        owner: `${hostname()}:${process.pid}:${crypto.randomUUID().slice(0, 8)}`,
        leaseMs: options.leaseMs,
        maxLanes: options.maxInFlight,
        tenantId: options.tenantId,
        now,
      },
    )
    this.#reader = new DueReader(ctx.pool, {
      lookAgain: () => this.#kick(),
      superseded: (lane, event, count) => {
        this.#tally.addSuperseded(lane, event, count)
        ctx.onOutcome(lane.hold.tenantId)
      },
    })
    this.#sender = new Sender(ctx, { ...options, wake: (lane) => this.#start(lane) })
    this.#effects = new EffectQueue(ctx)
    this.#tally = new Tally(ctx.log, ctx.metrics, ctx.statistics)
    this.#writer = new OutcomeWriter({
      pool: ctx.pool,
      log: ctx.log,
      now,
      onRecorded: (recorded, lost) => this.#recorded(recorded, lost),
    })
  }

  /** How looking for work stands. */
  get standing(): Standing {
    return this.#pulse.standing
  }

  /** Begins to look for work, at once and then by signals and polls. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#shareTimer = setInterval(() => this.#shareOut(), this.#options.shareMs)
    this.#mustShare = true
    this.#poll()
  }

  /**
   * Starts nothing more, waits for what is under way, records it and gives the lanes back. Tolerates twice.
   * @param graceMs what is still under way by then is abandoned
   */
  async stop(graceMs = STOP_GRACE_MS): Promise<void> {
    this.#running = false
    for (const timer of [this.#pollTimer, this.#retryTimer]) if (timer !== null) clearTimeout(timer)
    if (this.#shareTimer !== null) clearInterval(this.#shareTimer)
    this.#pollTimer = this.#retryTimer = this.#shareTimer = null
    this.#keeper.forgetCandidates()
    for (const lane of this.#keeper.lanes()) lane.close()
    await this.#refilling
    for (const lane of this.#keeper.lanes()) lane.close()
    await this.#settled(performance.now() + graceMs)
    await this.#writer.finish()
    for (const lane of this.#keeper.lanes()) lane.abandon()
    if (this.#maintenanceTimer !== null) clearInterval(this.#maintenanceTimer)
    this.#maintenanceTimer = null
    await this.#maintaining
    await this.#keeper.release([...this.#keeper.lanes()])
    await this.#keeper.skipped()
    await Promise.all(this.#aside)
    await this.#keeper.leave()
    if (this.#isAnnounced) this.#ctx.announceWorker()
    this.#isAnnounced = false
    await this.#ctx.statistics.flush()
    this.#reader.forget()
  }

  /** Delivers all that is due now, then stops. @param deadlineMs what is not done by then stays due */
  async drain(deadlineMs: number): Promise<DeliveryCounts> {
    const end = performance.now() + deadlineMs
    this.#running = true
    try {
      for (let idle = 0; idle < DRAIN_IDLE_ROUNDS && performance.now() < end; idle++) {
        const before = this.#tally.counts.processed
        const found = await this.#keeper.discover()
        for (const lane of this.#keeper.lanes()) lane.hint()
        this.#kick()
        await this.#settled(end)
        const skipped = this.#keeper.skipping
        await this.#keeper.skipped()
        if (this.#tally.counts.processed > before || skipped) idle = -1
        else if (found === 0) break
      }
    } finally {
      await this.stop(Infinity)
    }
    return { ...this.#tally.counts }
  }

  /** Signal `deliveries_due`: these plugins (none named: any) have new work. */
  hint(pluginIds: readonly string[]): void {
    if (!this.#running) return
    if (pluginIds.length === 0) this.#mustDiscover = true
    for (const pluginId of pluginIds) {
      const lane = this.#keeper.get(pluginId)
      if (lane === undefined) this.#keeper.suggest(pluginId)
      else lane.hint()
    }
    this.#kick()
  }

  /** Signal `plugin_changed`: lets go of the lane, to take it up again with the new settings. */
  pluginChanged(pluginIds: readonly string[]): void {
    this.#keeper.reconsider(pluginIds)
    const lanes =
      pluginIds.length === 0
        ? [...this.#keeper.lanes()]
        : pluginIds.map((pluginId) => this.#keeper.get(pluginId))
    for (const lane of lanes) if (lane !== undefined) this.#close(lane)
  }

  /** Signal `workers_changed`: leaves lanes to who came, and looks for those of who left. */
  workersChanged(): void {
    this.#mustDiscover = true
    this.#shareOut()
  }

  #shareOut(): void {
    if (!this.#running) return
    this.#mustShare = true
    this.#kick()
  }

  #poll(): void {
    if (!this.#running) return
    this.#pollTimer = setTimeout(() => this.#poll(), this.#options.pollMs)
    this.#mustDiscover = true
    for (const lane of this.#keeper.lanes()) lane.hint()
    this.#kick()
  }

  /** Has one refill under way, and another after it if something new came meanwhile. */
  #kick(): void {
    if (!this.#running) return
    this.#again = true
    if (this.#refilling !== null || this.#retryTimer !== null) return
    this.#refilling = this.#refill().finally(() => {
      this.#refilling = null
      if (this.#again && this.#retryTimer === null) this.#kick()
      this.#checkSettled()
    })
  }

  async #refill(): Promise<void> {
    try {
      while (this.#again && this.#running) {
        this.#again = false
        this.#pulse.begin()
        if (this.#mustDiscover) {
          this.#mustDiscover = false
          await this.#keeper.discover()
        }
        if (this.#mustShare) await this.#share()
        if (await this.#keeper.claim()) this.#again = true
        for (const lane of this.#keeper.overheld()) this.#close(lane)
        this.#keepMaintained()
        const { filled, changed, bursts, more, starved } = await this.#reader.fill(
          this.#keeper.lanes(),
          this.#clock(),
        )
        if (more) this.#again = true
        if (starved) this.#starved = true
        for (const lane of changed) this.#close(lane)
        for (const lane of filled) this.#start(lane)
        for (const lane of await this.#reader.fillNewest(bursts, this.#clock())) this.#start(lane)
        this.#pulse.succeed()
      }
    } catch (error) {
      this.#pulse.fail()
      this.#again = this.#mustDiscover = true
      if (!this.#running) return
      const { message, code } = error as Error & { code?: string }
      this.#ctx.log.error({ err: { message, code } }, 'delivery worker: looking for work failed')
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = null
        this.#kick()
      }, DATABASE_RETRY_MS)
    }
  }

  async #share(): Promise<void> {
    this.#mustShare = false
    try {
      for (const lane of await this.#keeper.share()) this.#handOver(lane)
    } catch (error) {
      // Who came does not say so again.
      this.#mustShare = true
      throw error
    }
    if (!this.#isAnnounced) this.#ctx.announceWorker()
    this.#isAnnounced = true
  }

  /** Starts what the lane, its class and the worker have capacity for. */
  #start(lane: Lane): void {
    for (;;) {
      if (this.#writer.isBehind) {
        this.#isHeldBack = true
        break
      }
      const next = this.#sender.take(lane)
      if (typeof next === 'number') {
        if (next > LONG_WAIT_MS) this.#pause(lane, next)
        else if (next > 0) lane.startLater(next, () => this.#start(lane))
        break
      }
      void this.#deliver(lane, next)
    }
    if (lane.wantsFetch()) this.#kick()
  }

  async #deliver(lane: Lane, job: Job): Promise<void> {
    const recorded = await this.#sender.send(lane, job)
    if (recorded !== null) this.#writer.push(recorded)
    if (lane.isOpen) this.#start(lane)
    else this.#letGo(lane)
    // Capacity has become free: whoever waits for it may start, in turn.
    if (this.#sender.takeCrowded()) {
      for (const waiting of this.#keeper.lanes()) if (waiting.canStart()) this.#start(waiting)
    }
  }

  #recorded(recorded: readonly Recorded[], lost: ReadonlySet<string>): void {
    for (const { lane, outcome, effects } of recorded) {
      const counts = lost.size === 0 || !lost.has(outcome.deliveryId)
      if (counts) {
        this.#tally.add(lane, outcome)
        this.#ctx.onOutcome(lane.hold.tenantId)
      } else {
        this.#ctx.metrics.fencedOutcomes.inc()
        lane.lose()
      }
      if (effects.length === 0 || !counts) this.#finish(lane, outcome)
      // Kept in hand meanwhile: a lane that is to be disabled must not be taken again before it is.
      else
        this.#doAside(this.#effects.apply(lane, effects, outcome).finally(() => this.#finish(lane, outcome)))
    }
    this.#tally.flush()
    if (this.#starved) {
      this.#starved = false
      this.#kick()
    }
    if (this.#isHeldBack && this.#writer.isCaughtUp) {
      this.#isHeldBack = false
      for (const lane of this.#keeper.lanes()) if (lane.isOpen) this.#start(lane)
    }
    this.#checkSettled()
  }

  #finish(lane: Lane, outcome: Outcome): void {
    lane.done(outcome.deliveryId, performance.now(), outcome.status !== 'retry')
    // What waited for it in hand begins.
    if (lane.target.ordered && lane.canStart()) this.#start(lane)
    if (!lane.isOpen) this.#letGo(lane)
    else if (lane.wantsFetch() || (lane.idle && this.#keeper.crowded)) this.#kick()
  }

  #close(lane: Lane): void {
    lane.close()
    this.#letGo(lane)
  }

  #pause(lane: Lane, waitMs: number): void {
    lane.pause(waitMs, performance.now())
    this.#letGo(lane)
  }

  /** Leaves a lane to another worker, which is told of it once it is given back. */
  #handOver(lane: Lane): void {
    lane.handOver()
    this.#letGo(lane)
  }

  /** Gives a closed lane back once nothing of it is under way or unrecorded. */
  #letGo(lane: Lane): void {
    if (!lane.empty || !this.#keeper.holds(lane)) return
    this.#doAside(
      this.#keeper.release([lane]).then(() => {
        if (lane.state !== 'closing' || lane.health.holdUntil !== null) return
        if (lane.pauseLeft(0) === null) this.hint([lane.id])
      }),
    )
  }

  #doAside(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => {
      this.#aside.delete(tracked)
      this.#checkSettled()
    })
    this.#aside.add(tracked)
  }

  /** Leases need looking after while lanes are held, and only then: idle costs nothing. */
  #keepMaintained(): void {
    if (this.#keeper.size === 0) return
    this.#maintenanceTimer ??= setInterval(() => {
      this.#maintaining ??= this.#maintain().finally(() => {
        this.#maintaining = null
        this.#checkSettled()
      })
    }, MAINTENANCE_MS)
  }

  async #maintain(): Promise<void> {
    await this.#keeper.maintain()
    for (const lane of this.#keeper.lanes()) {
      if (!lane.isOpen) this.#letGo(lane)
      // Held back by a lease that was about to end and has been renewed since.
      else if (lane.canStart()) this.#start(lane)
    }
    if (this.#keeper.size > 0 || this.#maintenanceTimer === null) return
    clearInterval(this.#maintenanceTimer)
    this.#maintenanceTimer = null
  }

  #clock(): Date | null {
    return this.#options.now?.() ?? null
  }

  #isSettled(): boolean {
    if (this.#running && (this.#refilling !== null || this.#retryTimer !== null)) return false
    for (const lane of this.#keeper.lanes()) {
      if (!lane.empty || (this.#running && lane.mayHaveMore && lane.isOpen)) return false
    }
    return true
  }

  /** Resolves when nothing is queued, under way or unrecorded here; at `end` at the latest. */
  async #settled(end: number): Promise<void> {
    while (!this.#isSettled() && performance.now() < end) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          this.#settledWaiters.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, Math.min(end - performance.now(), MAINTENANCE_MS))
        this.#settledWaiters.add(wake)
      })
    }
  }

  #checkSettled(): void {
    for (const wake of this.#settledWaiters) wake()
  }
}
