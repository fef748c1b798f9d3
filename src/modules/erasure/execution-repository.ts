import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { hasValue, type Wanted } from './match-repository.ts'
import { EMPTY_INVOCATION, EMPTY_LOG, EMPTY_MESSAGE, type Range } from './record-repository.ts'

export interface ScannedExecution {
  id: string
  /** It has the value, and is not empty yet. */
  found: boolean
  active: boolean
}

/** The places of outside data in steps: at the top, or as the data of an event and the body of an answer. */
const STEP_PLACES = [[], ['data'], ['body']]

/**
 * The tenant's next executions; one has the value if its trigger has, or anything that its steps took or gave.
 * Retries are looked at whenever they came: they start from an earlier one's data.
 */
export async function readExecutions(
  db: Kysely<DB>,
  tenantId: string,
  wanted: Wanted,
  range: Range,
): Promise<ScannedExecution[]> {
  const { rows } = await sql<ScannedExecution>`
    select e.id, e.status in ('queued', 'running', 'waiting') as active,
      e.body_gone is distinct from 'erased' and (
        ${hasValue('e.trigger', wanted, [['data'], ['request', 'query']])}
        or exists (
          select from automation_steps s where s.execution_id = e.id and s.tenant_id = ${tenantId}
            and (${hasValue('s.input', wanted, STEP_PLACES)} or ${hasValue('s.output', wanted, STEP_PLACES)})
        )
      ) as found
    from automation_executions e
    where e.tenant_id = ${tenantId} and e.id > ${range.after}
      and (e.id < ${range.before} or e.retry_of is not null)
    order by e.id limit ${range.limit}
  `.execute(db)
  return rows
}

/** Returns those of these executions that have not ended, after they were told to. */
export async function selectActive(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<string[]> {
  const rows = await db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('id', 'in', [...ids])
    .where('status', 'in', ['queued', 'running', 'waiting'])
    .execute()
  return rows.map(({ id }) => id)
}

/** Empties ended executions and all that hangs on them: steps, messages, invocations, log. Their facts stay. */
export async function eraseExecutions(
  trx: Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<void> {
  const isTheirs = sql`tenant_id = ${tenantId} and execution_id = any(${ids}::uuid[])`
  const isTheirAction = sql`tenant_id = ${tenantId} and flow_execution_id = any(${ids}::text[])`
  await sql`
    update automation_executions
    set trigger = '{"data":null,"event":null}', state = '{}', key = null, body_gone = 'erased',
      error = case when error is not null then error || '{"message":"erased"}' end
    where tenant_id = ${tenantId} and id = any(${ids}::uuid[])
  `.execute(trx)
  await sql`
    update automation_steps
    set input = null, output = null, note = null, attempt_log = null,
      error = case when error is not null then error || '{"message":"erased"}' end
    where ${isTheirs}
  `.execute(trx)
  await sql`update automation_messages set ${EMPTY_MESSAGE} where ${isTheirs}`.execute(trx)
  await sql`update action_invocations set ${EMPTY_INVOCATION} where ${isTheirAction}`.execute(trx)
  await sql`update automation_event_log set ${EMPTY_LOG} where ${isTheirAction}`.execute(trx)
}
