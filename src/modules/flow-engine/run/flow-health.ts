import { type Kysely, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import type { Signals } from '#infra/signals.ts'
import type { EventService } from '#modules/event/index.ts'
import { type PauseReason, tellOfPause } from './flow-pause.ts'
import { raiseFlowsVersion } from '#infra/tenant-versions.ts'
import type { RunEnd } from './journal.ts'

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
      const { rows } = await sql<{ paused: boolean }>`
        with before as (
          select id, status, consecutive_failures + 1 as failures from automation_flows
          where tenant_id = ${tenantId} and id = ${flowId} for update
        ), counted as (
          update automation_flows f
          set consecutive_failures = b.failures,
              status = case when b.status = 'active' and b.failures >= ${PAUSE_AFTER_FAILURES} then 'paused' else b.status end,
              status_reason = case when b.status = 'active' and b.failures >= ${PAUSE_AFTER_FAILURES} then 'failing' else f.status_reason end,
              off_since = case when b.status = 'active' and b.failures >= ${PAUSE_AFTER_FAILURES} then clock_timestamp() else f.off_since end
          from before b where f.tenant_id = ${tenantId} and f.id = b.id
          returning f.status, b.status as previous
        )
        select status = 'paused' and previous = 'active' as paused from counted`.execute(trx)
      if (rows[0]?.paused !== true) return null
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
    await this.#ctx.db
      .updateTable('automation_flows')
      .set({ consecutive_failures: 0 })
      .where('tenant_id', '=', tenantId)
      .where('id', '=', flowId)
      .where('consecutive_failures', '>', 0)
      .execute()
  }
}
