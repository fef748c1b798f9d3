import type { Changes } from '#infra/changes.ts'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { isPassing } from '#db/errors.ts'
import { isProblem } from '#lib/api/problem.ts'
import { BoundaryWriter } from './boundary-writer.ts'
import { liveCalls } from '../steps/action-call.ts'
import type { CallContext } from '../steps/call.ts'
import { hasShare } from '#lib/async/share.ts'
import { Pulse, type Standing, worstOf } from '#lib/async/pulse.ts'
import type { Boundary, BoundaryAnswer } from './boundary-repository.ts'
import {
  claimExecutions,
  type ClaimedExecution,
  type InHand,
  renewExecutions,
  TENANT_MAX_RUNNING,
} from './execution-repository.ts'
import { flowNewer, flowOutdated } from '../errors.ts'
import { FlowHealth, type HealthContext } from './flow-health.ts'
import { HeldBack } from './held-back.ts'
import { Ended, Journal, type RunEnd } from './journal.ts'
import { LoadedBytes } from './loaded-bytes.ts'
import { countEnd, countSteps, type FlowMetrics } from '../metrics.ts'
import type { ProgramCache } from './program.ts'
import { ResumeLoader } from './resume-loader.ts'
import { ExecutionRun } from './execution-run.ts'
import { ScopeBuilder } from './scope.ts'
import type { StatsRecorder } from '#infra/statistics/recorder.ts'
import type { ReceivedEvent, Waits } from '../wait/waits.ts'

export interface EngineContext extends CallContext, HealthContext {
  pool: pg.Pool
  programs: ProgramCache
  waits: Waits
  changes: Changes
  metrics: FlowMetrics
  statistics: StatsRecorder
  log: FastifyBaseLogger
}

export interface EngineOptions {
  leaseMs: number
  pollMs: number
  /** Executions in hand at once. */
  maxRunning: number
  /** The most bytes of JSON in hand, of triggers and states, but for the last one that was taken. A tenant has its share. */
  maxHeldBytes: number
  /** The most bytes of JSON in hand, of outputs and received events, but for the last one. A tenant has its share. */
  maxLoadedBytes: number
  /** Replaces the database's clock: for tests. */
  now: (() => Date) | null
  /** Takes only this tenant's. */
  tenantId: string | null
}

/** Outputs of steps and received events that a run has in memory, in bytes of JSON. */
interface Loaded {
  bytes: number
  /** It has come to more in this run, and has done something. */
  hasGrown: boolean
}

/** Executions that end within this time give their capacity back together. */
const FREED_MS = 5
/** The time that executions in hand have for their calls when the process is to stop; else their leases run out. */
const STOP_MS = 5_000

/**
 * Takes due executions and runs them. It holds no timers for waits: a wait is a row that becomes due, found by a
 * claim every `pollMs` or when a signal says that there is something.
 */
export class Engine {
  readonly #ctx: EngineContext
  readonly #options: EngineOptions
  readonly #boundaries: BoundaryWriter
  readonly #health: FlowHealth
  readonly #loader: ResumeLoader
  readonly #loaded: LoadedBytes
  readonly #heldBack: HeldBack
  readonly #held = new Set<ClaimedExecution>()
  readonly #runs = new Set<Promise<void>>()
  readonly #claimPulse = new Pulse()
  /** Fails while no execution comes to an end or a wait: its boundaries are not written. */
  readonly #runPulse = new Pulse()
  #running = false
  #stopping = false
  #again = false
  /** Tenants to look at; null: all. */
  #wanted: Set<string> | null = new Set()
  #claiming: Promise<void> | null = null
  /** Tenants of whom something may have been left behind for want of capacity; null: anybody. */
  #leftBehind: Set<string> | null = new Set()
  #taken = 0
  #heldBytes = 0
  #freedTimer: NodeJS.Timeout | null = null
  #pollTimer: NodeJS.Timeout | null = null
  #renewTimer: NodeJS.Timeout | null = null

  constructor(ctx: EngineContext, options: EngineOptions) {
    this.#ctx = ctx
    this.#options = options
    this.#health = new FlowHealth(ctx)
    this.#loader = new ResumeLoader(ctx.db)
    this.#loaded = new LoadedBytes(options.maxLoadedBytes)
    this.#heldBack = new HeldBack(
      ctx.pool,
      () => this.#clock(),
      (tenantId) => this.hint([tenantId]),
    )
    this.#boundaries = new BoundaryWriter(ctx.pool, {
      statistics: ctx.statistics,
      patienceMs: options.leaseMs,
      clock: () => this.#clock(),
      onWritten: (tenantId) => ctx.changes.tell(tenantId, 'executions'),
      log: ctx.log,
    })
  }

  /** Executions taken so far. */
  get taken(): number {
    return this.#taken
  }

  /** The standing of claims and of the executions that were claimed. */
  get standing(): Standing {
    return worstOf(this.#claimPulse.standing, this.#runPulse.standing)
  }

  /** The executions in hand. */
  get held(): ReadonlySet<ClaimedExecution> {
    return this.#held
  }

  start(): void {
    if (this.#running || this.#stopping) return
    this.#running = true
    this.#poll()
  }

  /** Takes nothing more; what is in hand is given back at its next boundary. Tolerates twice. */
  async stop(): Promise<void> {
    this.#running = false
    this.#stopping = true
    if (this.#pollTimer !== null) clearTimeout(this.#pollTimer)
    this.#pollTimer = null
    if (this.#freedTimer !== null) clearTimeout(this.#freedTimer)
    this.#freedTimer = null
    await this.#claiming
    this.#loaded.close()
    const giveUp = new AbortController()
    await Promise.race([
      Promise.all(this.#runs),
      delay(STOP_MS, undefined, { signal: giveUp.signal }).catch(() => undefined),
    ])
    giveUp.abort()
    this.#stopRenewing()
    await this.#ctx.statistics.flush()
  }

  /** There may be something due. @param tenantIds none: anywhere */
  hint(tenantIds: readonly string[] = []): void {
    if (!this.#running) return
    this.#want(tenantIds.length === 0 ? null : tenantIds)
    this.#look()
  }

  #want(tenantIds: Iterable<string> | null): void {
    this.#again = true
    if (tenantIds === null) this.#wanted = null
    else for (const tenantId of tenantIds) this.#wanted?.add(tenantId)
  }

  #look(): void {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = null
      if (this.#again && this.#running) this.#look()
    })
  }

  /**
   * Runs all that is due now, until nothing is.
   * @param until takes nothing more from then on, by `performance.now()`; what is in hand goes on
   * @returns how many executions were taken
   */
  async drain(until = Infinity): Promise<number> {
    let taken = 0
    while (!this.#stopping && performance.now() < until) {
      const claims = await this.#take(this.#options.maxRunning, null)
      taken += claims.length
      if (claims.length === 0) break
      await Promise.all(this.#runs)
    }
    this.#stopRenewing()
    await this.#ctx.statistics.flush()
    return taken
  }

  #stopRenewing(): void {
    if (this.#renewTimer !== null) clearInterval(this.#renewTimer)
    this.#renewTimer = null
  }

  #poll(): void {
    if (!this.#running) return
    this.#pollTimer = setTimeout(() => this.#poll(), this.#options.pollMs)
    this.hint()
  }

  async #claim(): Promise<void> {
    try {
      while (this.#again && this.#running) {
        this.#again = false
        const wanted = this.#wanted
        this.#wanted = new Set()
        const free = this.#options.maxRunning - this.#runs.size
        // Whatever ends gives its capacity back to everybody.
        if (free <= 0 || this.#heldBytes >= this.#options.maxHeldBytes) return
        this.#claimPulse.begin()
        const claims = await this.#take(free, wanted)
        if (claims.length > 0) this.#want(this.#mayHaveMore(claims, free, wanted))
        this.#claimPulse.succeed()
      }
    } catch (error) {
      this.#claimPulse.fail()
      this.#again = false
      this.#ctx.log.error({ err: (error as Error).message }, 'flow engine: looking for work failed')
    }
  }

  /** Room has become free for those who were left behind: taken up together, as a claim costs the same for one. */
  #freed(): void {
    if (this.#leftBehind?.size === 0 || !this.#running) return
    this.#freedTimer ??= setTimeout(() => {
      this.#freedTimer = null
      this.#want(this.#leftBehind)
      this.#look()
    }, FREED_MS)
  }

  /**
   * Notes that there was capacity for all that these tenants have, but for those who had as many in hand as they may.
   * @param inHand as the claim saw it: some have ended since, which is no capacity that it could have used
   */
  #seen(tenantIds: ReadonlySet<string> | null, inHand: ReadonlyMap<string, InHand>, left: InHand): void {
    if (tenantIds === null) this.#leftBehind = new Set()
    for (const tenantId of tenantIds ?? []) this.#leftBehind?.delete(tenantId)
    for (const [tenantId, { count, bytes }] of inHand) {
      const mayTake = count < TENANT_MAX_RUNNING && hasShare(count, left.count) && hasShare(bytes, left.bytes)
      if (!mayTake) this.#leftBehind?.add(tenantId)
    }
  }

  async #take(limit: number, wanted: ReadonlySet<string> | null): Promise<readonly ClaimedExecution[]> {
    const startedAt = performance.now()
    const { leaseMs, maxRunning, maxHeldBytes, tenantId } = this.#options
    const busy = byTenant(this.#held)
    const left = { count: limit, bytes: maxHeldBytes - this.#heldBytes }
    const claims = await claimExecutions(this.#ctx.pool, {
      limit,
      leaseMs,
      busy,
      now: this.#clock(),
      tenantIds: tenantId === null ? wanted && [...wanted] : [tenantId],
      maxBytes: left.bytes,
    })
    this.#taken += claims.length
    for (const claim of claims) {
      addTo(busy, claim)
      left.count--
      left.bytes -= claim.bytes
      this.#held.add(claim)
      this.#heldBytes += claim.bytes
      this.#ctx.metrics.executionLag.observe(Math.max(0, claim.lag_s))
      this.#ctx.metrics.executionsHeld.set(this.#held.size)
      const run = this.#run(claim, startedAt).finally(() => {
        this.#runs.delete(run)
        this.#held.delete(claim)
        this.#heldBytes -= claim.bytes
        this.#ctx.metrics.executionsHeld.set(this.#held.size)
        this.#freed()
      })
      this.#runs.add(run)
    }
    if (this.#runs.size >= maxRunning || this.#heldBytes >= maxHeldBytes) this.#leftBehind = null
    else this.#seen(wanted, busy, left)
    if (claims.length > 0) this.#renewTimer ??= setInterval(() => void this.#renew(), leaseMs / 3)
    return claims
  }

  /**
   * Returns the tenants to look at after a claim; null: anybody. Whoever had something due was given some of it, unless
   * there was capacity for no more: to look at everybody after each claim, as long as there is a backlog, cost Postgres
   * six times as much for an execution as to look at those who have one.
   */
  #mayHaveMore(
    claims: readonly ClaimedExecution[],
    limit: number,
    wanted: ReadonlySet<string> | null,
  ): ReadonlySet<string> | null {
    const isFull = claims.length >= limit || this.#heldBytes >= this.#options.maxHeldBytes
    return isFull ? wanted : new Set(claims.map((claim) => claim.tenant_id))
  }

  async #run(claim: ClaimedExecution, startedAt: number): Promise<void> {
    const log = this.#ctx.log.child({
      tenant_id: claim.tenant_id,
      execution_id: claim.id,
      flow_id: claim.flow_id,
    })
    const { now } = this.#options
    const clock = (): number =>
      Math.floor(now?.().getTime() ?? claim.now_ms + (performance.now() - startedAt))
    const loaded: Loaded = { bytes: 0, hasGrown: false }
    const journal = new Journal({
      claim,
      commit: (boundary) => this.#commit(boundary, loaded),
      leaseMs: this.#options.leaseMs,
      takenAt: startedAt,
      clock,
    })
    try {
      const end = await this.#runClaim(claim, journal, clock, loaded).catch((error: unknown) =>
        this.#breakOff(claim, journal, error, log),
      )
      this.#runPulse.succeed()
      if (end !== null) countEnd(this.#ctx.metrics, end)
      if (end !== null) await this.#noteHealth(claim, end, log)
    } catch (error) {
      if (!isProblem(error, flowNewer)) this.#runPulse.fail()
      log.warn({ err: error }, 'execution left to its lease')
    } finally {
      this.#loaded.leave(claim.tenant_id, loaded.bytes)
    }
  }

  async #commit(boundary: Boundary, loaded: Loaded): Promise<BoundaryAnswer> {
    const { metrics } = this.#ctx
    const askedAt = performance.now()
    const observe = (outcome: 'written' | 'lost' | 'failed'): void =>
      metrics.boundaryDuration.observe({ outcome }, (performance.now() - askedAt) / 1_000)
    try {
      const answer = await this.#boundaries.commit(boundary)
      observe(answer.status === null ? 'lost' : 'written')
      if (answer.status !== null) countSteps(metrics, boundary.steps)
      if (boundary.status === 'running') this.#grow(boundary.tenantId, answer.outputBytes, loaded)
      return answer
    } catch (error) {
      observe('failed')
      throw error
    }
  }

  /** Counts what its steps gave, which its later steps may read. */
  #grow(tenantId: string, bytes: number, loaded: Loaded): void {
    if (bytes === 0) return
    loaded.bytes += bytes
    loaded.hasGrown = true
    this.#loaded.add(tenantId, bytes)
  }

  /** The execution has ended: what goes wrong here is no trouble of its own. */
  async #noteHealth(claim: ClaimedExecution, end: RunEnd, log: FastifyBaseLogger): Promise<void> {
    await this.#health.note(claim.tenant_id, claim.flow_id, end).catch((error: unknown) => {
      log.warn({ err: (error as Error).message }, 'outcome of an execution not counted for its flow')
    })
  }

  async #runClaim(
    claim: ClaimedExecution,
    journal: Journal,
    clock: () => number,
    loaded: Loaded,
  ): Promise<RunEnd> {
    const program = await this.#ctx.programs.get(claim.tenant_id, claim.flow_id, claim.version)
    const bytes = await this.#loader.bytes(claim)
    const isGiven = await this.#loaded.take(claim.tenant_id, bytes)
    if (isGiven) loaded.bytes = bytes
    const outputs = isGiven ? await this.#loader.outputs(claim) : []
    const received = isGiven ? await this.#loader.received(claim) : new Map<string, ReceivedEvent>()
    return new ExecutionRun({
      claim,
      program,
      journal,
      calls: liveCalls(this.#ctx),
      waits: this.#ctx.waits,
      held: this.#heldBack,
      scope: new ScopeBuilder(claim, program, outputs),
      received,
      clock,
      isStopping: () =>
        this.#stopping || (loaded.hasGrown && this.#loaded.isBeyond(claim.tenant_id, loaded.bytes)),
    }).run()
  }

  /** Leaves an error that passes by itself to the lease: taken again at its last boundary. All else fails for good. */
  async #breakOff(
    claim: ClaimedExecution,
    journal: Journal,
    error: unknown,
    log: FastifyBaseLogger,
  ): Promise<RunEnd | null> {
    if (error instanceof Ended) return journal.end
    if (isPassing(error) || isProblem(error, flowNewer)) throw error
    const known = isProblem(error, flowOutdated) ? flowOutdated : null
    if (known === null) log.error({ err: error }, 'execution broke off')
    const code = known?.code ?? 'internal_error'
    const message = known?.title ?? 'The engine could not go on with this execution'
    claim.state.error = { step_id: claim.state.main.step, code, message: `${message}.` }
    const last = { status: 'failed', reason: code, atFault: true } as const
    return journal.close(last).catch((refused: unknown) => {
      if (refused instanceof Ended || isPassing(refused)) throw refused
      journal.discard()
      return journal.close(last)
    })
  }

  async #renew(): Promise<void> {
    if (this.#held.size === 0) return
    const { leaseMs } = this.#options
    await renewExecutions(this.#ctx.pool, [...this.#held], leaseMs, this.#clock()).catch((error: unknown) => {
      this.#ctx.log.warn({ err: (error as Error).message }, 'executions not renewed')
    })
  }

  #clock(): Date | null {
    return this.#options.now?.() ?? null
  }
}

function byTenant(held: Iterable<ClaimedExecution>): Map<string, InHand> {
  const inHand = new Map<string, InHand>()
  for (const claim of held) addTo(inHand, claim)
  return inHand
}

function addTo(inHand: Map<string, InHand>, { tenant_id, bytes }: ClaimedExecution): void {
  const own = inHand.get(tenant_id) ?? { count: 0, bytes: 0 }
  inHand.set(tenant_id, { count: own.count + 1, bytes: own.bytes + bytes })
}
