import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, InvocationStatus } from '#db/schema.ts'
import type { CompletionClaim } from './token.ts'

export interface CompletableInvocation {
  status: InvocationStatus
  flow_execution_id: string
  data: string | null
  /** Of the result that its plugin told last; null: it has told none, or its body is gone. */
  completion_hash: Buffer | null
  /** Its end is the one that its plugin told. */
  is_told: boolean
  /** The claim is older than what its plugin told last. */
  is_old_claim: boolean
  /** A result is still waited for; of a call that failed: as long as if it had been accepted. */
  in_time: boolean
  /** Nobody runs it any more. */
  abandoned: boolean
}

/** The invocation does not change before the transaction ends. */
export async function lockInvocation(
  trx: Transaction<DB>,
  { tenantId, invocationId, claimedAt }: CompletionClaim,
  completionSeconds: number,
): Promise<CompletableInvocation | undefined> {
  return trx
    .selectFrom('action_invocations')
    .select([
      'status',
      'flow_execution_id',
      'completion_hash',
      sql<string | null>`data::text`.as('data'),
      sql<boolean>`status in ('succeeded', 'failed') and coalesce(completed_at = finished_at, false)`.as(
        'is_told',
      ),
      sql<boolean>`coalesce(
        completed_at >= timestamptz 'epoch' + ${claimedAt}::bigint * interval '1 microsecond', false)`.as(
        'is_old_claim',
      ),
      sql<boolean>`case status
        when 'accepted' then complete_until > clock_timestamp()
        when 'failed' then error_code is distinct from 'completion_timeout'
          and finished_at + ${completionSeconds} * interval '1 second' > clock_timestamp()
        else true end`.as('in_time'),
      sql<boolean>`coalesce(lease_until < clock_timestamp(), false)`.as('abandoned'),
    ])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', invocationId)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

/** Returns the plugin's status; undefined: it was removed. @param secretId null: of any secret */
export async function findStanding(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  secretId: string | null,
): Promise<{ isActive: boolean; isSecretLive: boolean } | undefined> {
  return trx
    .selectFrom('plugins as p')
    .select([
      sql<boolean>`p.status = 'active'`.as('isActive'),
      sql<boolean>`${secretId}::uuid is null or exists (
        select from plugin_secrets s where s.tenant_id = p.tenant_id and s.plugin_id = p.id and s.id = ${secretId}
          and (s.expires_at is null or s.expires_at > clock_timestamp()))`.as('isSecretLive'),
    ])
    .where('p.tenant_id', '=', tenantId)
    .where('p.id', '=', pluginId)
    .where('p.deleted_at', 'is', null)
    .executeTakeFirst()
}

/** The execution that a flow's action belongs to. */
export async function findExecution(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
): Promise<{ isLive: boolean; isErased: boolean } | undefined> {
  const row = await trx
    .selectFrom('automation_executions')
    .select(['status', 'body_gone'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .executeTakeFirst()
  return (
    row && {
      isLive: ['queued', 'running', 'waiting'].includes(row.status),
      isErased: row.body_gone === 'erased',
    }
  )
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
  /** By which the same result is known again. */
  hash: Buffer | null
}

/** @param isEarlier it is what was told of an earlier run: what is told of this one later counts more */
export async function completeInvocation(
  trx: Transaction<DB>,
  completed: CompletedInvocation,
  { isEarlier }: { isEarlier: boolean },
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
      completion_hash: completed.hash,
      // The same moment, which says that this end is the plugin's own of this run.
      ...(!isEarlier && { completed_at: sql<Date>`statement_timestamp()` }),
      finished_at: sql<Date>`statement_timestamp()`,
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

/**
 * For an action that its process cannot tell of any more: it died, or had told of a failed call. What was sent is taken
 * from an earlier entry, if there is one.
 */
export async function addLogEntry(
  trx: Transaction<DB>,
  logId: string,
  completed: CompletedInvocation,
): Promise<void> {
  await sql`
    insert into automation_event_log (tenant_id, id, invocation_id, flow_execution_id, event_key, action_type,
      plugin_id, plugin, payload, result, success, status, error_code, attempts, duration_ms, key_id)
    select a.tenant_id, ${logId}, a.id, a.flow_execution_id, a.event_key, a.action_type, a.plugin_id, p.slug,
      coalesce((
        select l.payload from automation_event_log l where l.tenant_id = a.tenant_id
          and l.flow_execution_id = a.flow_execution_id and l.invocation_id = a.id
        order by l.id desc limit 1), '{}'),
      ${completed.loggedResult}::json, ${completed.success}, a.status, a.error_code, a.attempts, 0, a.key_id
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
      set status = 'failed', success = false, error_code = 'completion_timeout', result = ${result}::json
      from done where l.tenant_id = done.tenant_id and l.flow_execution_id = done.flow_execution_id
        and l.invocation_id = done.id and l.status = 'accepted'
    )
    select id from done`.execute(db)
  return rows.length
}
