import { sql, type Transaction } from 'kysely'
import type { BodyGone, DB, ExecutionStatus, TriggerKind } from '#db/schema.ts'
import { typesThat } from '#lib/flow/steps/index.ts'
import type { StoredTrigger } from '../run/scope.ts'
import type { ExecutionState } from '../run/state.ts'
import type { DoneStep } from './retry-plan.ts'
import type { StepId } from '#lib/flow/types.ts'
import type { ExecutionRow } from './enqueue-repository.ts'

export interface Original {
  tenant_id: string
  id: string
  flow_id: string
  version: number
  status: ExecutionStatus
  trigger_kind: TriggerKind
  trigger: StoredTrigger
  trigger_text: string
  state: ExecutionState
  causation_depth: number
  body_gone: BodyGone | null
}

export async function lockOriginal(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
): Promise<Original | undefined> {
  const row = await trx
    .selectFrom('automation_executions')
    .select([
      'tenant_id',
      'id',
      'flow_id',
      'version',
      'status',
      'trigger_kind',
      'trigger',
      'state',
      'causation_depth',
      'body_gone',
    ])
    .select(sql<string>`trigger::text`.as('trigger_text'))
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
  return row as unknown as Original | undefined
}

/** Retries that are under way count always: pressing the button twice is one wish. */
export async function isRetried(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  once: boolean,
): Promise<boolean> {
  const retry = await trx
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('retry_of', '=', id)
    .$if(!once, (query) => query.where('status', 'in', ['queued', 'running', 'waiting']))
    .limit(1)
    .executeTakeFirst()
  return retry !== undefined
}

/** Returns which version of a flow is published; undefined: the flow was deleted. */
export async function findPublished(trx: Transaction<DB>, tenantId: string, flowId: string) {
  return trx
    .selectFrom('automation_flows')
    .select('published_version')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

export async function doneSteps(
  trx: Transaction<DB>,
  tenantId: string,
  executionId: string,
): Promise<DoneStep[]> {
  const settingVariables = typesThat(({ variables }) => variables !== null)
  return trx
    .selectFrom('automation_steps')
    .select((eb) => [
      'number',
      'step_id',
      'type',
      eb.case().when('type', 'in', settingVariables).then(eb.ref('output')).else(null).end().as('output'),
      'error',
    ])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .where('iteration', '=', '')
    .where((eb) => eb.or([eb('status', '=', 'succeeded'), eb('port', '=', 'error')]))
    .orderBy('number')
    .execute()
}

/** Returns what the items of a loop have done with success or have caught. */
export async function selectLoopSteps(
  trx: Transaction<DB>,
  tenantId: string,
  executionId: string,
  steps: readonly StepId[],
) {
  return trx
    .selectFrom('automation_steps')
    .select(['number', 'step_id', 'iteration', 'port'])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .where('iteration', '<>', '')
    .where('step_id', 'in', steps)
    .where((eb) => eb.or([eb('status', '=', 'succeeded'), eb('port', '=', 'error')]))
    .orderBy('number')
    .execute()
}

export async function insertRetry(
  trx: Transaction<DB>,
  retryOf: string,
  carried: number,
  row: ExecutionRow,
): Promise<void> {
  await trx
    .insertInto('automation_executions')
    .values({ ...row, step_count: carried, carried_steps: carried, retry_of: retryOf })
    .execute()
}

export async function copySteps(
  trx: Transaction<DB>,
  tenantId: string,
  execution: { from: string; to: string },
  numbers: readonly number[],
): Promise<void> {
  if (numbers.length === 0) return
  await sql`
    insert into automation_steps (tenant_id, execution_id, number, step_id, iteration, type, status, port, input,
      output, error, attempts, attempt_log, note, started_at, duration_ms)
    select s.tenant_id, ${execution.to}::uuid, carried.place - 1, s.step_id, s.iteration, s.type, s.status, s.port,
      s.input, s.output, s.error, s.attempts, s.attempt_log, s.note, s.started_at, s.duration_ms
    from unnest(${[...numbers]}::int[]) with ordinality as carried (number, place)
    join automation_steps s on s.tenant_id = ${tenantId} and s.execution_id = ${execution.from}
      and s.number = carried.number`.execute(trx)
}
