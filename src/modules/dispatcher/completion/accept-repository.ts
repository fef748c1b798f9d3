import { type Kysely, sql } from 'kysely'
import { constraintOf } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import type { CompletionClaim, EarlyCompletion } from './token.ts'
import type { CompletedInvocation } from './repository.ts'
import type { ResultRecord } from '../dispatch/result-repository.ts'

/** Its values follow from those of the index that the statements below name: one row violates both or neither. */
const PRIMARY_KEY = 'action_invocations_pkey'

/**
 * Keeps an action that its plugin accepted for later, with its entry in the log. A record whose answer was lost may come again:
 * it is kept as it is.
 * @returns false if it was completed before, and the row says how
 */
export async function acceptInvocation(
  db: Kysely<DB>,
  record: ResultRecord,
  fingerprint: Buffer,
): Promise<boolean> {
  try {
    return await insertAccepted(db, record, fingerprint)
  } catch (error) {
    // A completion that was committed meanwhile met the primary key first, which `on conflict` does not name.
    if (constraintOf(error) !== PRIMARY_KEY) throw error
    return insertAccepted(db, record, fingerprint)
  }
}

async function insertAccepted(db: Kysely<DB>, record: ResultRecord, fingerprint: Buffer): Promise<boolean> {
  const { rows } = await sql`
    with logged_before as (
      select from automation_event_log where tenant_id = ${record.tenantId} and id = ${record.logId}
    ), accepted as (
      insert into action_invocations as a (tenant_id, id, flow_execution_id, event_key, action_type, plugin_id,
        fingerprint, status, attempts, response_status, data, duration_ms, complete_until)
      values (${record.tenantId}, ${record.invocationId}, ${record.flowExecutionId}, ${record.eventKey},
        ${record.actionType}, ${record.pluginId}, ${fingerprint}, 'accepted', ${record.attempts},
        ${record.responseStatus}, ${record.data}::json, ${record.durationMs},
        clock_timestamp() + ${record.completeSeconds ?? 0} * interval '1 second')
      on conflict (tenant_id, flow_execution_id, event_key) do update
      set attempts = a.attempts + case when exists (select from logged_before) then 0 else excluded.attempts end,
          response_status = excluded.response_status,
          data = excluded.data, duration_ms = excluded.duration_ms, complete_until = excluded.complete_until
      where a.id = excluded.id and a.status = 'accepted'
      returning a.id
    ), logged as (
      insert into automation_event_log (tenant_id, id, invocation_id, flow_execution_id, event_key, action_type,
        plugin_id, plugin, payload, result, success, status, response_status, attempts, duration_ms)
      select ${record.tenantId}, ${record.logId}::uuid, accepted.id, ${record.flowExecutionId}, ${record.eventKey},
        ${record.actionType}, ${record.pluginId}, ${record.plugin}, ${record.payload}::json,
        ${record.loggedResult}::json, true, 'accepted', ${record.responseStatus}, ${record.attempts},
        ${record.durationMs}
      from accepted
      on conflict (tenant_id, id) do nothing
    )
    select id from accepted`.execute(db)
  return rows.length === 1
}

/**
 * Keeps what a plugin says of an action of a flow's step whose answer has not come yet: there is no row before it.
 * @returns false if there is one by now
 */
export async function completeEarly(
  db: Kysely<DB>,
  { tenantId, invocationId }: CompletionClaim,
  { flowExecutionId, eventKey, actionType, pluginId }: EarlyCompletion,
  completed: Pick<CompletedInvocation, 'success' | 'data' | 'errorCode' | 'errorMessage' | 'hash'>,
): Promise<boolean> {
  const inserted = await db
    .insertInto('action_invocations')
    .values({
      tenant_id: tenantId,
      id: invocationId,
      flow_execution_id: flowExecutionId,
      event_key: eventKey,
      action_type: actionType,
      plugin_id: pluginId,
      fingerprint: Buffer.alloc(0),
      status: completed.success ? 'succeeded' : 'failed',
      data: completed.data,
      error_code: completed.errorCode,
      error_message: completed.errorMessage,
      attempts: 1,
      completion_hash: completed.hash,
      completed_at: sql<Date>`statement_timestamp()`,
      finished_at: sql<Date>`statement_timestamp()`,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  return inserted !== undefined
}
