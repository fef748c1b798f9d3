import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import type { EventService } from '#modules/event/index.ts'
import { type PauseReason, tellOfPause } from './flow-pause.ts'
import { raiseFlowsVersion } from '#infra/tenant-versions.ts'
import type { RunEnd } from './journal.ts'
import { countFailure, forgetFailures } from './flow-repository.ts'

/** Failures in a row after which a flow is paused by itself. */
const PAUSE_AFTER_FAILURES = 20

export interface HealthContext {
  db: Kysely<DB>
  events: Pick<EventService, 'emitIn'>
  signals: Signals
  countPause: (reason: PauseReason) => void
}

/** A success is written only if the flow has failed before, and looked after at most so often. */
const LOOK_INTERVAL_MS = 1_000
const REMEMBERED_MAX = 10_000

/**
 * Counts failures in a row; a flow with too many of them is paused until somebody has looked at it. A failure that an
 * error handler dealt with, one that the flow itself asked for, and one of the other side, which does not answer, is
 * busy or paused or takes longer than an execution may, say nothing about the flow.
 */
export class FlowHealth {
  readonly #ctx: HealthContext
  /** When a flow was last seen without failures. */
  readonly #lookedAt = new LRUCache<string, number>({ max: REMEMBERED_MAX })

  constructor(ctx: HealthContext) {
    this.#ctx = ctx
  }

  async note(tenantId: string, flowId: string, end: RunEnd): Promise<void> {
    if (!end.ours) return
    if (end.status === 'completed') return this.#succeeded(tenantId, flowId)
    if (end.atFault === true && end.reason !== 'stopped' && !end.handled)
      return this.#failed(tenantId, flowId)
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
    this.#ctx.signals.publish('events_stored', [tenantId])
    if (due.length > 0) this.#ctx.signals.publish('deliveries_due', due)
  }

  async #succeeded(tenantId: string, flowId: string): Promise<void> {
    const now = performance.now()
    if (now - (this.#lookedAt.get(flowId) ?? -LOOK_INTERVAL_MS) < LOOK_INTERVAL_MS) return
    this.#lookedAt.set(flowId, now)
    await forgetFailures(this.#ctx.db, tenantId, flowId)
  }
}
