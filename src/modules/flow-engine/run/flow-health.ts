import { type Kysely, sql } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import { flowsVersionRaised } from '#infra/tenant-versions.ts'
import type { RunEnd } from './journal.ts'

/** Failures in a row after which a flow is paused by itself. */
const PAUSE_AFTER_FAILURES = 20

/** A success is written only if the flow has failed before, and looked after at most so often. */
const LOOK_INTERVAL_MS = 1_000
const REMEMBERED_MAX = 10_000

/**
 * Counts failures in a row; a flow with too many of them is paused until somebody has looked at it. A failure that an
 * error handler dealt with, and one that the flow itself asked for, say nothing about the flow.
 */
export class FlowHealth {
  readonly #db: Kysely<DB>
  /** When a flow was last seen without failures. */
  readonly #lookedAt = new LRUCache<string, number>({ max: REMEMBERED_MAX })

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  async note(tenantId: string, flowId: string, end: RunEnd): Promise<void> {
    if (!end.ours) return
    if (end.status === 'completed') return this.#succeeded(tenantId, flowId)
    const isFailure = end.status === 'timed_out' || (end.status === 'failed' && end.reason !== 'stopped')
    if (isFailure && !end.handled) return this.#failed(tenantId, flowId)
  }

  async #failed(tenantId: string, flowId: string): Promise<void> {
    this.#lookedAt.delete(flowId)
    await sql`
      with before as (
        select id, status, consecutive_failures + 1 as failures from automation_flows
        where tenant_id = ${tenantId} and id = ${flowId} for update
      ), counted as (
        update automation_flows f
        set consecutive_failures = b.failures,
            status = case when b.status = 'active' and b.failures >= ${PAUSE_AFTER_FAILURES} then 'paused' else b.status end,
            status_reason = case when b.status = 'active' and b.failures >= ${PAUSE_AFTER_FAILURES} then 'failing' else f.status_reason end
        from before b where f.tenant_id = ${tenantId} and f.id = b.id
        returning f.status, b.status as previous
      )
      ${flowsVersionRaised(tenantId, sql`exists (select from counted where status = 'paused' and previous = 'active')`)}
    `.execute(this.#db)
  }

  async #succeeded(tenantId: string, flowId: string): Promise<void> {
    const now = performance.now()
    if (now - (this.#lookedAt.get(flowId) ?? -LOOK_INTERVAL_MS) < LOOK_INTERVAL_MS) return
    this.#lookedAt.set(flowId, now)
    await this.#db
      .updateTable('automation_flows')
      .set({ consecutive_failures: 0 })
      .where('tenant_id', '=', tenantId)
      .where('id', '=', flowId)
      .where('consecutive_failures', '>', 0)
      .execute()
  }
}
