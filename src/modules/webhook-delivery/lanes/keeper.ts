import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import type { Metrics } from '#infra/metrics.ts'
import { Lane, type LaneClass } from './lane.ts'
import {
  claimLanes,
  discoverLanes,
  identifyLanes,
  type LaneCandidate,
  type LaneClaim,
  markUnreadable,
  releaseLanes,
  renewLeases,
} from './repository.ts'
import { Candidates } from './candidates.ts'
import { CLASSES_BEST_FIRST, TenantCapacity } from './capacity.ts'
import { Refusals } from './refusals.ts'
import { giveUpSkipped } from './skip-repository.ts'
import type { Destination } from '../destinations/destination.ts'
import type { PluginLimits } from '../limits/plugin-limits.ts'
import type { DeliveryTarget, TargetCache } from '../destinations/targets.ts'
import { endUnsubscribed } from './unsubscribe.ts'
import { checkIn, checkOut } from './worker-repository.ts'

export interface LaneKeeperContext {
  pool: pg.Pool
  targets: TargetCache
  limits: PluginLimits
  destinationOf(target: DeliveryTarget): Destination
  metrics: Metrics
  log: FastifyBaseLogger
  /** These lanes have work and may be taken now: one was given back or gave up its backlog, or could not be had before. */
  onFree(pluginIds: readonly string[]): void
  /** Tells every worker that this plugin's lane is free and has work. */
  announceFree(pluginId: string): void
}

export interface LaneKeeperOptions {
  /** The holder of the lease, for people who read the table. */
  owner: string
  leaseMs: number
  /** Lanes held at once: each needs capacity for one attempt at least. */
  maxLanes: number
  tenantId: string | null
  now: () => Date | null
}

/** Lanes asked for in one statement. */
const CLAIM_MAX = 256
/** An idle lane is kept for so long: the next event of a busy plugin finds it held. */
const LINGER_MS = 1_000

/** A share may be exceeded by so much before lanes are given up: handing over costs more than a small imbalance. */
const SHARE_SLACK = 1.25

/** The lanes that this worker holds, and how it comes by them and gives them back. */
export class LaneKeeper {
  readonly #ctx: LaneKeeperContext
  readonly #options: LaneKeeperOptions
  readonly #held = new Map<string, Lane>()
  readonly #candidates = new Candidates()
  readonly #refusals: Refusals
  /** Lanes that are being given back; true: they have been suggested again meanwhile. */
  readonly #releasing = new Map<string, boolean>()
  readonly #skips = new Set<Promise<void>>()
  /** Lanes that this worker may hold without knowing: whether they were taken, or given back, was not answered. */
  readonly #unsure = new Set<string>()
  #renewedAt = performance.now()

  constructor(ctx: LaneKeeperContext, options: LaneKeeperOptions) {
    this.#ctx = ctx
    this.#options = options
    this.#refusals = new Refusals((pluginIds) => ctx.onFree(pluginIds))
  }

  get size(): number {
    return this.#held.size
  }

  lanes(): MapIterator<Lane> {
    return this.#held.values()
  }

  get(pluginId: string): Lane | undefined {
    return this.#held.get(pluginId)
  }

  holds(lane: Lane): boolean {
    return this.#held.get(lane.id) === lane
  }

  /** Somebody said that these plugins have work; whether their lanes are free, the claim finds out. */
  suggest(pluginId: string): void {
    if (this.#releasing.has(pluginId)) {
      this.#releasing.set(pluginId, true)
      return
    }
    if (this.#refusals.hears(pluginId)) return
    if (!this.#candidates.has(pluginId)) this.#candidates.set(pluginId, 'proven')
  }

  /** Asks for these plugins' lanes again: the reason for which they were not taken may be over. */
  reconsider(pluginIds: readonly string[]): void {
    for (const pluginId of pluginIds) this.#refusals.lift(pluginId)
  }

  /** Plugins with work for whose lanes there was no capacity yet. */
  get crowded(): boolean {
    return this.#candidates.size > 0
  }

  forgetCandidates(): void {
    this.#candidates.clear()
  }

  /** Looks for free lanes with due work. @returns how many there are */
  async discover(): Promise<number> {
    const found = await discoverLanes(this.#ctx.pool, {
      tenantId: this.#options.tenantId,
      now: this.#options.now(),
    })
    for (const lane of found) {
      if (!this.#held.has(lane.plugin_id) && !this.#refusals.finds(lane.plugin_id)) {
        this.#candidates.set(lane.plugin_id, classOf(lane), lane.tenant_id)
      }
    }
    return found.length
  }

  /** Takes what it can of the candidates. @returns true if some had to be left for another claim */
  async claim(): Promise<boolean> {
    let chosen = this.#choose()
    if (chosen.length < Math.min(this.#candidates.size, CLAIM_MAX)) {
      // Lanes that linger are in the way of those that have work.
      await this.release([...this.#held.values()].filter((lane) => lane.idle))
      await this.#identify()
      chosen = this.#choose()
    }
    if (chosen.length === 0) return false
    const now = performance.now()
    const claims = await this.#claim(chosen)
    this.#ctx.metrics.claims.inc({ kind: 'lane' }, claims.length)
    for (const pluginId of chosen) this.#candidates.delete(pluginId)
    for (const claim of claims) this.#refusals.lift(claim.plugin_id)
    if (claims.length > 0) {
      try {
        await this.#take(claims, now)
      } catch (error) {
        const untaken = claims.filter((claim) => !this.#held.has(claim.plugin_id) && !hasMark(claim))
        await this.#giveBack(untaken.map(holdOf))
        throw error
      }
    }
    return chosen.length === CLAIM_MAX && this.#candidates.size > 0
  }

  /** Finds out whose the candidates are that were suggested, where there is not enough capacity for all. */
  async #identify(): Promise<void> {
    const { unknown } = this.#candidates
    if (unknown.length === 0) return
    for (const lane of await identifyLanes(this.#ctx.pool, unknown)) {
      const isWanted = this.#candidates.has(lane.plugin_id)
      if (isWanted) this.#candidates.set(lane.plugin_id, classOf(lane), lane.tenant_id)
    }
  }

  async #claim(pluginIds: readonly string[]): Promise<LaneClaim[]> {
    // Before it is known which ones cannot be had: one may become free, and be told of, while the answer is on its way.
    for (const pluginId of pluginIds) this.#refusals.refuse(pluginId)
    try {
      const { owner, leaseMs, now } = this.#options
      const unsure = pluginIds.filter((pluginId) => this.#unsure.has(pluginId))
      const claims = await claimLanes(this.#ctx.pool, { pluginIds, unsure, owner, leaseMs, now: now() })
      for (const pluginId of unsure) this.#unsure.delete(pluginId)
      return claims
    } catch (error) {
      for (const pluginId of pluginIds) {
        this.#refusals.lift(pluginId)
        this.#unsure.add(pluginId)
      }
      throw error
    }
  }

  /** Gives lanes back whose work is all done; those that are handed over, to other workers. */
  async release(lanes: readonly Lane[]): Promise<void> {
    if (lanes.length === 0) return
    for (const lane of lanes) {
      // What was just found for it is not to be attempted any more.
      lane.close()
      this.#held.delete(lane.id)
      this.#releasing.set(lane.id, false)
    }
    await this.#giveBack(
      lanes.map((lane) => ({
        pluginId: lane.id,
        leaseToken: lane.hold.leaseToken,
        rateTokens: lane.limit.tokensLeft,
        pauseMs: lane.pauseLeft(performance.now()),
      })),
    )
    for (const { id, state } of lanes) {
      const suggested = this.#releasing.get(id)
      this.#releasing.delete(id)
      if (state === 'handing_over') {
        this.#refusals.leave(id)
        this.#ctx.announceFree(id)
      } else if (suggested === true) this.#ctx.onFree([id])
    }
  }

  /**
   * Tells the other workers of this one, and finds the lanes that it should leave to them: without, whoever comes
   * first would keep every busy lane, and a second machine would stand idle beside it.
   */
  async share(): Promise<Lane[]> {
    const { workers, lanes } = await checkIn(this.#ctx.pool, this.#options.owner)
    const fair = Math.ceil(lanes / workers)
    if (workers === 1 || this.#held.size <= fair * SHARE_SLACK) return []
    return surplusOf([...this.#held.values()], this.#held.size - fair)
  }

  async leave(): Promise<void> {
    this.#refusals.stop()
    await checkOut(this.#ctx.pool, this.#options.owner).catch(() => undefined)
  }

  /** Backlogs that are being given up. */
  get skipping(): boolean {
    return this.#skips.size > 0
  }

  async skipped(): Promise<void> {
    await Promise.all(this.#skips)
  }

  /** Gives idle lanes back, closes those whose lease has passed, renews the rest in time. */
  async maintain(): Promise<void> {
    const now = performance.now()
    for (const lane of this.#held.values()) if (lane.leaseUntil <= now) lane.close()
    const idle = [...this.#held.values()].filter((lane) => lane.idle && now - lane.idleSince > LINGER_MS)
    await this.release(idle)
    if (now - this.#renewedAt < this.#options.leaseMs / 3 || this.#held.size === 0) return
    this.#renewedAt = now
    await this.#renew([...this.#held.values()], now)
  }

  /** The lanes to ask for next, as far as there is capacity. */
  #choose(): string[] {
    if (this.#candidates.size === 0) return []
    for (const pluginId of this.#held.keys()) this.#candidates.delete(pluginId)
    return this.#candidates.choose(this.#laneCapacity(), CLAIM_MAX)
  }

  /**
   * Finds lanes that are to be given back, so that a tenant that has none comes by one: where all places are taken, of whoever
   * has most of those that are in its way. A busy lane is not given back by itself.
   */
  overheld(): Lane[] {
    const wanting = this.#withoutPlace()
    if (wanting.length === 0) return []
    const open = [...this.#held.values()].filter((lane) => lane.isOpen)
    // Those that are being given back already are for them.
    const missing = wanting.slice(this.#held.size - open.length)
    const surplus = new Set<Lane>()
    for (const wanted of missing) {
      const inTheWay = open.filter((lane) => !surplus.has(lane) && rankOf(lane.class) >= wanted)
      const byTenant = [...Map.groupBy(inTheWay, (lane) => lane.target.tenantId).values()]
      const most = byTenant.reduce<Lane[]>((a, b) => (b.length > a.length ? b : a), [])
      if (most.length > 1) surplus.add(most[0] as Lane)
    }
    return [...surplus]
  }

  /** The best class of each tenant that has candidates, no lane, and no place for one. */
  #withoutPlace(): number[] {
    const tenantIds = new Set(this.#held.values().map((lane) => lane.target.tenantId))
    const waiting = [...this.#candidates.bestBut(tenantIds)]
    if (waiting.length === 0) return []
    const capacity = this.#laneCapacity()
    const without = waiting.filter(({ tenantId, laneClass }) => !capacity.hasPlace(tenantId, laneClass))
    return without.map(({ laneClass }) => rankOf(laneClass))
  }

  #laneCapacity(): TenantCapacity {
    const capacity = new TenantCapacity(this.#options.maxLanes)
    for (const lane of this.#held.values()) capacity.take(lane.target.tenantId, lane.class)
    return capacity
  }

  async #take(claims: readonly LaneClaim[], now: number): Promise<void> {
    const targets = await this.#ctx.targets.get(
      claims.map((claim) => ({
        tenantId: claim.tenant_id,
        pluginId: claim.plugin_id,
        revision: claim.revision,
      })),
    )
    const unusable: LaneHold[] = []
    const unreadables: string[] = []
    const marks: { pluginId: string; leaseToken: number; unreadable: boolean }[] = []
    const capacity = this.#laneCapacity()
    for (const claim of claims) {
      const hold = holdOf(claim)
      if (hasMark(claim)) {
        this.#skip(hold, claim)
        continue
      }
      const target = targets.get(claim.plugin_id)
      const unreadable = target === undefined && this.#ctx.targets.isUnreadable(claim.plugin_id)
      if (unreadable) unreadables.push(claim.plugin_id)
      if (unreadable !== claim.secret_unreadable) marks.push({ ...hold, unreadable })
      if (target?.active !== true) {
        unusable.push(hold)
        continue
      }
      const lane = new Lane(
        claim,
        target,
        this.#ctx.destinationOf(target),
        (target) => this.#ctx.limits.of(target),
        now,
        this.#options.leaseMs,
      )
      if (capacity.hasPlace(claim.tenant_id, lane.class)) {
        capacity.take(claim.tenant_id, lane.class)
        this.#held.set(lane.id, lane)
      } else {
        // Suggested without its class and tenant being known, it got in ahead of others.
        this.#candidates.set(lane.id, lane.class, claim.tenant_id)
        unusable.push(hold)
      }
    }
    await this.#mark(marks)
    await this.#giveBack(unusable)
    for (const pluginId of unreadables) {
      // Another worker's keys may open it, and it may have been refused the lane just now.
      this.#refusals.forgo(pluginId)
      this.#ctx.announceFree(pluginId)
    }
  }

  /** Writes the mark; one that is not written now is written when the lane is taken the next time. */
  async #mark(
    marks: readonly { pluginId: string; leaseToken: number; unreadable: boolean }[],
  ): Promise<void> {
    if (marks.length === 0) return
    await markUnreadable(this.#ctx.pool, marks).catch((error: unknown) => {
      this.#ctx.log.warn({ err: (error as Error).message }, 'not written which secrets cannot be opened')
    })
  }

  /** Gives up a lane's backlog beside the other lanes' work, then frees the lane for what came after it. */
  #skip(hold: LaneHold, claim: LaneClaim): void {
    const skipped: Promise<void> = this.#giveUp(hold, claim)
      .catch((error: unknown) => {
        this.#ctx.log.warn(
          { err: (error as Error).message },
          'backlog not given up yet: the next look goes on',
        )
      })
      .finally(() => this.#skips.delete(skipped))
    this.#skips.add(skipped)
  }

  async #giveUp(hold: LaneHold, claim: LaneClaim): Promise<void> {
    const { pool } = this.#ctx
    const { skip_before: skipBefore, unsubscribed_at: unsubscribedAt } = claim
    if (skipBefore !== null) while ((await giveUpSkipped(pool, { ...hold, skipBefore })) > 0);
    if (unsubscribedAt !== null) {
      await endUnsubscribed(pool, { ...hold, unsubscribedAt }, this.#keeperOf(hold))
    }
    await this.#giveBack([hold])
    this.#refusals.lift(hold.pluginId)
    this.#ctx.onFree([hold.pluginId])
  }

  /** Prolongs the lease of a lane that is not among those held, when a third of it has passed. */
  #keeperOf(hold: LaneHold): () => Promise<void> {
    let renewedAt = performance.now()
    return async () => {
      const now = performance.now()
      if (now - renewedAt < this.#options.leaseMs / 3) return
      renewedAt = now
      await renewLeases(this.#ctx.pool, [hold], this.#options.leaseMs)
    }
  }

  async #renew(lanes: readonly Lane[], now: number): Promise<void> {
    try {
      const holds = lanes.map((lane) => ({ pluginId: lane.id, leaseToken: lane.hold.leaseToken }))
      const renewed = await renewLeases(this.#ctx.pool, holds, this.#options.leaseMs)
      for (const lane of lanes) {
        if (renewed.has(lane.id)) lane.renewed(now + this.#options.leaseMs)
        else lane.close()
      }
    } catch (error) {
      this.#ctx.log.warn({ err: (error as Error).message }, 'leases not renewed')
    }
  }

  async #giveBack(holds: readonly LaneHold[]): Promise<void> {
    if (holds.length === 0) return
    await releaseLanes(this.#ctx.pool, holds).catch((error: unknown) => {
      for (const { pluginId } of holds) this.#unsure.add(pluginId)
      this.#ctx.log.warn({ err: (error as Error).message }, 'lanes not given back: their leases run out')
    })
  }
}

/** So many of these lanes, of the busy and the idle ones alike. An idle one can be busy the next moment. */
function surplusOf(lanes: readonly Lane[], count: number): Lane[] {
  const busy = lanes.filter((lane) => !lane.idle)
  const idle = lanes.filter((lane) => lane.idle)
  const busyCount = Math.ceil((busy.length * count) / lanes.length)
  return [...busy.slice(0, busyCount), ...idle.slice(0, count - busyCount)]
}

/** The better the class, the lower. */
function rankOf(laneClass: LaneClass): number {
  return CLASSES_BEST_FIRST.indexOf(laneClass)
}

function classOf({ failing, proven }: LaneCandidate): LaneClass {
  return failing ? 'failing' : proven ? 'proven' : 'unproven'
}

function hasMark(claim: LaneClaim): boolean {
  return claim.skip_before !== null || claim.unsubscribed_at !== null
}

function holdOf(claim: LaneClaim): LaneHold {
  return {
    pluginId: claim.plugin_id,
    leaseToken: claim.lease_token,
    rateTokens: claim.rate_tokens,
    pauseMs: null,
  }
}

interface LaneHold {
  pluginId: string
  leaseToken: number
  rateTokens: number | null
  pauseMs: number | null
}
