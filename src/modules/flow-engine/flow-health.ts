import { type Kysely, sql } from 'kysely'
import type { DB, ExecutionStatus } from '../../../db/schema.ts'

/** Failures in a row after which a flow is paused by itself. */
export const PAUSE_AFTER_FAILURES = 20

/** Flows that failed lately, as far as this process knows: only their successes are worth a write. */
const failing = new Set<string>()

/** Counts failures in a row; a flow with too many of them is paused until somebody has looked at it. */
export async function noteOutcome(
  db: Kysely<DB>,
  tenantId: string,
  flowId: string,
  status: ExecutionStatus,
): Promise<void> {
  if (status === 'failed' || status === 'timed_out') {
    failing.add(flowId)
    await sql`
      with counted as (
        update automation_flows
        set consecutive_failures = consecutive_failures + 1,
            status = case when status = 'active' and consecutive_failures + 1 >= ${PAUSE_AFTER_FAILURES} then 'paused' else status end,
            status_reason = case when status = 'active' and consecutive_failures + 1 >= ${PAUSE_AFTER_FAILURES} then 'failing' else status_reason end
        where tenant_id = ${tenantId} and id = ${flowId}
        returning status, consecutive_failures
      )
      update flow_cursors set flows_version = flows_version + 1
      from counted where tenant_id = ${tenantId} and counted.status = 'paused'
        and counted.consecutive_failures = ${PAUSE_AFTER_FAILURES}`.execute(db)
  } else if (status === 'completed' && failing.delete(flowId)) {
    await db
      .updateTable('automation_flows')
      .set({ consecutive_failures: 0 })
      .where('tenant_id', '=', tenantId)
      .where('id', '=', flowId)
      .execute()
  }
}
