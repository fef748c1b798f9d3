import { type Kysely, sql } from 'kysely'
import type { DB, InvocationStatus } from '../../../db/schema.ts'

export interface EventLogFilter {
  tenantId: string
  execution: string | null
  action: string | null
  success: boolean | null
  since: Date | null
  beforeId: string | null
  limit: number
}

export function listEventLog(db: Kysely<DB>, filter: EventLogFilter) {
  let query = db
    .selectFrom('automation_event_log')
    .select([
      'id',
      'flow_execution_id',
      'event_key',
      'action_type',
      'plugin',
      'payload',
      'result',
      'success',
      'status',
      'error_code',
      'response_status',
      'attempts',
      'duration_ms',
      'invocation_id',
      'created_at',
    ])
    .where('tenant_id', '=', filter.tenantId)
    .orderBy('id', 'desc')
    .limit(filter.limit)
  if (filter.execution !== null) query = query.where('flow_execution_id', '=', filter.execution)
  if (filter.action !== null) query = query.where('action_type', '=', filter.action)
  if (filter.success !== null) query = query.where('success', '=', filter.success)
  if (filter.since !== null) query = query.where('created_at', '>=', filter.since)
  if (filter.beforeId !== null) query = query.where('id', '<', filter.beforeId)
  return query.execute()
}

export function findInvocation(db: Kysely<DB>, tenantId: string, flowExecutionId: string, eventKey: string) {
  return db
    .selectFrom('action_invocations')
    .select([
      'id',
      'action_type',
      'status',
      'data',
      'error_code',
      'error_message',
      'response_status',
      'duration_ms',
      'attempts',
    ])
    .where('tenant_id', '=', tenantId)
    .where('flow_execution_id', '=', flowExecutionId)
    .where('event_key', '=', eventKey)
    .executeTakeFirst()
}

export async function findInvocationStatus(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
): Promise<InvocationStatus | undefined> {
  const row = await db
    .selectFrom('action_invocations')
    .select('status')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .executeTakeFirst()
  return row?.status
}

export interface CompletedInvocation {
  tenantId: string
  id: string
  success: boolean
  /** JSON. */
  data: string | null
  /** JSON, redacted. */
  loggedResult: string | null
  errorCode: string | null
  errorMessage: string | null
}

/** Ends an accepted action and its log entry. @returns false if it does not wait for completion (any more) */
export async function completeInvocation(db: Kysely<DB>, completed: CompletedInvocation): Promise<boolean> {
  const status = completed.success ? 'succeeded' : 'failed'
  const { rows } = await sql<{ id: string }>`
    with done as (
      update action_invocations
      set status = ${status}, data = ${completed.data}::jsonb, error_code = ${completed.errorCode},
          error_message = ${completed.errorMessage}, finished_at = now(), complete_until = null
      where tenant_id = ${completed.tenantId} and id = ${completed.id} and status = 'accepted' and complete_until > now()
      returning id
    ), logged as (
      update automation_event_log l
      set status = ${status}, success = ${completed.success}, result = ${completed.loggedResult}::jsonb,
          error_code = ${completed.errorCode}
      from done where l.tenant_id = ${completed.tenantId} and l.invocation_id = done.id and l.status = 'accepted'
    )
    select id from done`.execute(db)
  return rows.length > 0
}

/** Accepted actions whose time has passed, over all tenants, that one sweep ends. */
const EXPIRE_BATCH = 500

/** Fails what was accepted and never completed. @returns how many */
export async function expireInvocations(db: Kysely<DB>): Promise<number> {
  const { rows } = await sql<{ id: string }>`
    with overdue as (
      select tenant_id, id from action_invocations
      where status = 'accepted' and complete_until <= now()
      limit ${sql.lit(EXPIRE_BATCH)} for update skip locked
    ), done as (
      update action_invocations a
      set status = 'failed', error_code = 'completion_timeout', error_message = 'The plugin did not complete it in time.',
          finished_at = now(), complete_until = null
      from overdue o where a.tenant_id = o.tenant_id and a.id = o.id
      returning a.tenant_id, a.id
    ), logged as (
      update automation_event_log l
      set status = 'failed', success = false, error_code = 'completion_timeout',
          result = '{"code":"completion_timeout","message":"The plugin did not complete it in time."}'
      from done where l.tenant_id = done.tenant_id and l.invocation_id = done.id and l.status = 'accepted'
    )
    select id from done`.execute(db)
  return rows.length
}
