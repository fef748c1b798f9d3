import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import type pg from 'pg'
import { isUnavailable } from '../../../db/connection.ts'
import type { DB } from '../../../db/schema.ts'
import { Batcher } from '../../lib/batcher.ts'
import type { CallContext } from './calls.ts'
import {
  type Boundary,
  type BoundaryAnswer,
  claimExecutions,
  type ClaimedExecution,
  commitBoundaries,
  loadOutputs,
  renewExecutions,
} from './execution-repository.ts'
import { noteOutcome } from './flow-health.ts'
import type { ProgramCache } from './program.ts'
import { Run } from './runner.ts'
import { ScopeBuilder } from './scope.ts'
import type { ReceivedEvent, Waits } from './waits.ts'

export interface EngineContext extends CallContext {
  db: Kysely<DB>
  pool: pg.Pool
  programs: ProgramCache
  waits: Waits
  log: FastifyBaseLogger
}

export interface EngineOptions {
  leaseMs: number
  pollMs: number
  /** Executions in hand at once. */
  maxRunning: number
  /** Replaces the database's clock: for tests. */
  now: (() => Date) | null
}

const BATCH_MAX = 200
const FLUSHES = 2
const RETRY_MS = 250

/**
 * Takes due executions and runs them. It holds no timers for waits: a wait is a row that becomes due, found by a
 * claim every `pollMs` or when a signal says that there is something.
 */
export class Engine {
  readonly #ctx: EngineContext
  readonly #options: EngineOptions
  readonly #boundaries: Batcher<Boundary, BoundaryAnswer>
  readonly #held = new Map<string, ClaimedExecution>()
  readonly #runs = new Set<Promise<void>>()
  #running = false
  #again = false
  #claiming: Promise<void> | null = null
  #pollTimer: NodeJS.Timeout | null = null
  #renewTimer: NodeJS.Timeout | null = null

  constructor(ctx: EngineContext, options: EngineOptions) {
    this.#ctx = ctx
    this.#options = options
    this.#boundaries = new Batcher({
      max: BATCH_MAX,
      concurrency: FLUSHES,
      flush: (boundaries) => commitBoundaries(ctx.pool, boundaries, this.#clock()),
    })
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    this.#poll()
  }

  /** Takes nothing more and lets what is in hand reach its next boundary. Tolerates twice. */
  async stop(): Promise<void> {
    this.#running = false
    if (this.#pollTimer !== null) clearTimeout(this.#pollTimer)
    this.#pollTimer = null
    await this.#claiming
    await Promise.all(this.#runs)
    if (this.#renewTimer !== null) clearInterval(this.#renewTimer)
    this.#renewTimer = null
  }

  /** There may be something due. */
  hint(): void {
    if (!this.#running) return
    this.#again = true
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = null
      if (this.#again) this.hint()
    })
  }

  /** Runs all that is due now, until nothing is. @returns how many executions were taken */
  async drain(): Promise<number> {
    let taken = 0
    for (;;) {
      const claims = await this.#take(this.#options.maxRunning)
      taken += claims
      if (claims === 0) break
      await Promise.all(this.#runs)
    }
    await this.stop()
    return taken
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
        const free = this.#options.maxRunning - this.#runs.size
        if (free <= 0) return
        if ((await this.#take(free)) > 0) this.#again = true
      }
    } catch (error) {
      this.#again = false
      this.#ctx.log.error({ err: (error as Error).message }, 'flow engine: looking for work failed')
    }
  }

  async #take(limit: number): Promise<number> {
    const startedAt = performance.now()
    const claims = await claimExecutions(this.#ctx.pool, {
      limit,
      leaseMs: this.#options.leaseMs,
      now: this.#clock(),
    })
    for (const claim of claims) {
      this.#held.set(claim.id, claim)
      const run = this.#run(claim, startedAt).finally(() => {
        this.#runs.delete(run)
        this.#held.delete(claim.id)
        if (this.#running) this.hint()
      })
      this.#runs.add(run)
    }
    if (claims.length > 0)
      this.#renewTimer ??= setInterval(() => void this.#renew(), this.#options.leaseMs / 3)
    return claims.length
  }

  async #run(claim: ClaimedExecution, startedAt: number): Promise<void> {
    const { tenant_id: tenantId, id, flow_id: flowId } = claim
    const log = this.#ctx.log.child({ tenant_id: tenantId, execution_id: id, flow_id: flowId })
    try {
      const program = await this.#ctx.programs.get(tenantId, flowId, claim.version)
      const outputs = claim.step_count === 0 ? [] : await loadOutputs(this.#ctx.db, tenantId, id)
      const received =
        claim.received === 0 ? new Map<string, ReceivedEvent>() : await this.#ctx.waits.received(tenantId, id)
      const end = await new Run({
        ctx: { ...this.#ctx, log, commit: (boundary) => this.#commit(boundary) },
        claim,
        program,
        scope: new ScopeBuilder(claim, program, outputs),
        received,
        leaseMs: this.#options.leaseMs,
        clock: () => this.#options.now?.().getTime() ?? claim.now_ms + (performance.now() - startedAt),
      }).run()
      if (end.ours) await noteOutcome(this.#ctx.db, tenantId, flowId, end.status)
    } catch (error) {
      // What is left is still ours until the lease ends; then it is taken again where its last boundary was.
      log.error({ err: error }, 'execution broke off')
    }
  }

  /** With Postgres away for a moment the boundary is written a moment later. */
  async #commit(boundary: Boundary): Promise<BoundaryAnswer> {
    const end = performance.now() + this.#options.leaseMs
    for (;;) {
      try {
        return await this.#boundaries.add(boundary)
      } catch (error) {
        if (!isUnavailable(error) || performance.now() > end) throw error
      }
      await delay(RETRY_MS)
    }
  }

  async #renew(): Promise<void> {
    const held = [...this.#held.values()].map((claim) => ({
      tenantId: claim.tenant_id,
      id: claim.id,
      leaseToken: claim.lease_token,
    }))
    if (held.length === 0) return
    await renewExecutions(this.#ctx.pool, held, this.#options.leaseMs, this.#clock()).catch(
      (error: unknown) => {
        this.#ctx.log.warn({ err: (error as Error).message }, 'executions not renewed')
      },
    )
  }

  #clock(): Date | null {
    return this.#options.now?.() ?? null
  }
}
