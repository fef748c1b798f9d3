import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, InvocationStatus } from '../../../db/schema.ts'
import type { CompletionClaim } from './completion-token.ts'

export interface CompletableInvocation {
  status: InvocationStatus
  flow_execution_id: string
  /** Its last failure is older than the claim. */
  current: boolean
  /** Its deadline has not passed. */
  in_time: boolean
  /** Nobody runs it any more. */
  abandoned: boolean
}

/** The invocation does not change before the transaction ends. */
export async function lockInvocation(
  trx: Transaction<DB>,
  { tenantId, invocationId, claimedAt }: CompletionClaim,
): Promise<CompletableInvocation | undefined> {
  return trx
    .selectFrom('action_invocations')
    .select([
      'status',
      'flow_execution_id',
      sql<boolean>`finished_at is null
        or finished_at <= timestamptz 'epoch' + ${claimedAt}::bigint * interval '1 microsecond'`.as(
        'current',
      ),
      sql<boolean>`complete_until is null or complete_until > clock_timestamp()`.as('in_time'),
      sql<boolean>`coalesce(lease_until < clock_timestamp(), false)`.as('abandoned'),
    ])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', invocationId)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

export interface CompletedInvocation {
  tenantId: string
  id: string
  flowExecutionId: string
  success: boolean
  /** JSON. */
  data: string | null
  /** JSON, redacted. */
  loggedResult: string | null
  errorCode: string | null
  errorMessage: string | null
}

export async function completeInvocation(
  trx: Transaction<DB>,
  completed: CompletedInvocation,
): Promise<void> {
  await trx
    .updateTable('action_invocations')
    .set({
      status: completed.success ? 'succeeded' : 'failed',
      data: completed.data,
      error_code: completed.errorCode,
      error_message: completed.errorMessage,
      attempts: sql<number>`greatest(attempts, 1)`,
      lease_until: null,
      complete_until: null,
      finished_at: sql<Date>`clock_timestamp()`,
    })
    .where('tenant_id', '=', completed.tenantId)
    .where('id', '=', completed.id)
    .execute()
}

/** Its entry of when it was accepted. */
export async function completeLogEntry(trx: Transaction<DB>, completed: CompletedInvocation): Promise<void> {
  await trx
    .updateTable('automation_event_log')
    .set({
      status: completed.success ? 'succeeded' : 'failed',
      success: completed.success,
      result: completed.loggedResult,
      error_code: completed.errorCode,
    })
    .where('tenant_id', '=', completed.tenantId)
    .where('flow_execution_id', '=', completed.flowExecutionId)
    .where('invocation_id', '=', completed.id)
    .where('status', '=', 'accepted')
    .execute()
}

/** For an action whose process died before it could write one: what was sent died with it. */
export async function addLogEntry(
  trx: Transaction<DB>,
  logId: string,
  completed: CompletedInvocation,
): Promise<void> {
  await sql`
    insert into automation_event_log (tenant_id, id, invocation_id, flow_execution_id, event_key, action_type,
      plugin_id, plugin, payload, result, success, status, error_code, attempts, duration_ms)
    select a.tenant_id, ${logId}, a.id, a.flow_execution_id, a.event_key, a.action_type, a.plugin_id, p.slug, '{}',
      ${completed.loggedResult}::jsonb, ${completed.success}, a.status, a.error_code, a.attempts, 0
    from action_invocations a left join plugins p on p.tenant_id = a.tenant_id and p.id = a.plugin_id
    where a.tenant_id = ${completed.tenantId} and a.id = ${completed.id}`.execute(trx)
}

/** Accepted actions whose time has passed, over all tenants, that one sweep ends. */
const EXPIRE_BATCH = 500

/** Fails what was accepted and never completed. @returns how many */
export async function expireInvocations(db: Kysely<DB>): Promise<number> {
  const message = 'The plugin did not complete it in time.'
  const result = JSON.stringify({ code: 'completion_timeout', message })
  const { rows } = await sql<{ id: string }>`
    with overdue as (
      select tenant_id, id from action_invocations
      where status = 'accepted' and complete_until <= clock_timestamp()
      limit ${sql.lit(EXPIRE_BATCH)} for no key update skip locked
    ), done as (
      update action_invocations a
      set status = 'failed', error_code = 'completion_timeout', error_message = ${message},
          finished_at = clock_timestamp(), complete_until = null
      from overdue o where a.tenant_id = o.tenant_id and a.id = o.id
      returning a.tenant_id, a.id, a.flow_execution_id
    ), logged as (
      update automation_event_log l
      set status = 'failed', success = false, error_code = 'completion_timeout', result = ${result}::jsonb
      from done where l.tenant_id = done.tenant_id and l.flow_execution_id = done.flow_execution_id
        and l.invocation_id = done.id and l.status = 'accepted'
    )
    select id from done`.execute(db)
  return rows.length
}
