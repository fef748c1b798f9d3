import type { Kysely } from 'kysely'
import { boundedCache } from '#lib/bounded-cache.ts'
import type { DB } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import type { EventService } from '#modules/event/index.ts'
import { tellOfFailing, tellOfRecovery } from './flow-alerts.ts'
import { type PauseReason, tellOfPause } from './flow-pause.ts'
import { raiseFlowsVersion } from '#infra/tenant-versions.ts'
import type { RunEnd } from './journal.ts'
import { countFailure, forgetFailures } from './flow-repository.ts'

interface Recovering {
  successes: number
  lookAt: number
  lookFrom: number
}

/** Failures in a row after which a flow is paused by itself. */
const PAUSE_AFTER_FAILURES = 20

export interface HealthContext {
  db: Kysely<DB>
  events: Pick<EventService, 'emitIn'>
  signals: Signals
  countPause: (reason: PauseReason) => void
}

/** A success is written only if the flow has failed before. What a flow's row and its last ends say is read at most so often. */
const LOOK_INTERVAL_MS = 1_000
const REMEMBERED_MAX = 10_000

/**
 * Counts failures in a row; a flow with too many of them is paused until somebody has looked at it. A failure that an
 * error handler dealt with, one that the flow itself asked for, and one of the other side, which does not answer, is
 * busy or paused or takes longer than an execution may, say nothing about the flow. When half of the last executions
 * failed it is told before that, as `flow.failing`, whoever is at fault.
 */
export class FlowHealth {
  readonly #ctx: HealthContext
  /** The time at which a flow was last seen without failures. */
  readonly #lookedAt = boundedCache<number>(REMEMBERED_MAX)

  readonly #looks = new Map<string, { again: boolean }>()

  /** The time of a look that found that it was told that the flow is failing, or that it is not active. */
  readonly #toldAt = boundedCache<number>(REMEMBERED_MAX)

  /** Of flows that are failing: how many successes there were here, and from when or how many on there may be enough. */
  readonly #recovering = boundedCache<Recovering>(REMEMBERED_MAX)

  constructor(ctx: HealthContext) {
    this.#ctx = ctx
  }

  async note(tenantId: string, flowId: string, end: RunEnd): Promise<void> {
    if (!end.ours) return
    if (end.status === 'completed') return this.#succeeded(tenantId, flowId)
    if (end.status !== 'failed' || end.reason === 'stopped' || end.handled) return
    if (end.atFault === true) await this.#failed(tenantId, flowId)
    // Whoever is at fault: the shop misses what the flow does.
    await this.#lookAtEnds(tenantId, flowId)
  }

  /** Failures that come while one look at the flow is under way share the next one. */
  async #lookAtEnds(tenantId: string, flowId: string): Promise<void> {
    if (isRecent(this.#toldAt.get(flowId))) return
    const underWay = this.#looks.get(flowId)
    if (underWay !== undefined) {
      underWay.again = true
      return
    }
    const look = { again: true }
    this.#looks.set(flowId, look)
    try {
      while (look.again) {
        look.again = false
        const { due, isTold } = await tellOfFailing(this.#ctx, tenantId, flowId)
        if (isTold) {
          this.#toldAt.set(flowId, performance.now())
          this.#lookedAt.delete(flowId)
          look.again = false
        }
        this.#told(tenantId, due)
      }
    } finally {
      this.#looks.delete(flowId)
    }
  }

  #told(tenantId: string, due: readonly string[] | null): void {
    if (due === null) return
    this.#ctx.signals.publish('events_stored', [tenantId])
    if (due.length > 0) this.#ctx.signals.publish('deliveries_due', due)
  }

  async #failed(tenantId: string, flowId: string): Promise<void> {
    this.#lookedAt.delete(flowId)
    const due = await this.#ctx.db.transaction().execute(async (trx) => {
      if (!(await countFailure(trx, tenantId, flowId, PAUSE_AFTER_FAILURES))) return null
      await raiseFlowsVersion(trx, tenantId)
      return tellOfPause(trx, this.#ctx.events, { tenantId, flowId, reason: 'failing' })
    })
    if (due === null) return
    this.#ctx.countPause('failing')
    this.#told(tenantId, due)
  }

  async #succeeded(tenantId: string, flowId: string): Promise<void> {
    const recovering = this.#recovering.get(flowId)
    if (recovering !== undefined) recovering.successes++
    const isEnough =
      recovering !== undefined &&
      (recovering.successes >= recovering.lookAt || performance.now() >= recovering.lookFrom)
    if (!isEnough && isRecent(this.#lookedAt.get(flowId))) return
    this.#lookedAt.set(flowId, performance.now())
    const isFailing = await forgetFailures(this.#ctx.db, tenantId, flowId)
    if (!isFailing) this.#recovering.delete(flowId)
    else if (isEnough || recovering === undefined) await this.#lookForRecovery(tenantId, flowId)
  }

  async #lookForRecovery(tenantId: string, flowId: string): Promise<void> {
    const recovering = this.#recovering.get(flowId) ?? { successes: 0, lookAt: 0, lookFrom: 0 }
    this.#recovering.set(flowId, recovering)
    // Until it is known, those that end meanwhile need not look, too.
    recovering.lookAt = recovering.lookFrom = Infinity
    try {
      do {
        const { successes } = recovering
        const { due, missing } = await tellOfRecovery(this.#ctx, tenantId, flowId)
        this.#told(tenantId, due)
        if (missing === 0) {
          this.#toldAt.delete(flowId)
          this.#recovering.delete(flowId)
          return
        }
        recovering.lookAt = successes + missing
      } while (recovering.successes >= recovering.lookAt)
    } finally {
      recovering.lookFrom = performance.now() + LOOK_INTERVAL_MS
    }
  }
}

function isRecent(at: number | undefined): boolean {
  return at !== undefined && performance.now() - at < LOOK_INTERVAL_MS
}
