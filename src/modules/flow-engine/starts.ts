import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, TriggerKind } from '../../../db/schema.ts'
import type { EventScope, FlowScope } from '../../lib/flow/scope.ts'
import { newId } from '../../lib/ids.ts'
import { renderText, StepError } from './evaluate.ts'
import type { Program } from './program.ts'
import type { StoredTrigger } from './scope.ts'
import { initialState } from './state.ts'
import { insertWaits, waitKey } from './waits.ts'

/** Automations that may stand between an event and what a person or system did first. */
export const MAX_CAUSATION_DEPTH = 8

export interface StartRequest {
  tenantId: string
  flowId: string
  version: number
  program: Program
  kind: TriggerKind
  data: unknown
  event: EventScope | null
  /** Of the event; 0 for what a person or system did. */
  causationDepth: number
  /** The flow has started as often as it may within a minute. */
  capReached: boolean
  now: Date
}

export interface StartResult {
  id: string | null
  status: 'queued' | 'skipped' | 'duplicate'
  reason: string | null
}

/**
 * Starts one execution in the caller's transaction, by the flow's enrolment rules. What does not start says so by
 * a row with status skipped and its reason; the same event starts the same flow once.
 */
export async function startExecution(trx: Transaction<DB>, request: StartRequest): Promise<StartResult> {
  const { program, now } = request
  const scope = startScope(request)
  let key: string | null = null
  let reason: string | null = null
  try {
    const { enrolment } = program.flow.settings
    key = enrolment.key === null ? null : renderText(program, enrolment.key, scope, now)
    reason = await refusal(trx, request, key)
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    reason = error.code
  }
  const row = executionRow(request, key, reason)
  const { id } = row
  const inserted = await insertExecutions(trx, [row])
  if (inserted === 0) return { id: null, status: 'duplicate', reason: null }
  if (reason !== null) return { id, status: 'skipped', reason }
  const cancelOn = program.flow.settings.enrolment.cancel_on
  await insertWaits(trx, {
    tenantId: request.tenantId,
    executionId: id,
    stepId: '',
    iteration: '',
    purpose: 'cancel',
    keys: cancelOn.map((match, index) =>
      waitKey(program, match, index, { ...scope, execution: { ...scope.execution, id } }, now),
    ),
  })
  return { id, status: 'queued', reason: null }
}

/** Whether a start needs to look at nothing but itself: many such are one statement. */
export function isSimpleStart({ program, causationDepth, capReached }: StartRequest): boolean {
  const { key, cancel_on } = program.flow.settings.enrolment
  return key === null && cancel_on.length === 0 && causationDepth <= MAX_CAUSATION_DEPTH && !capReached
}

/** @returns how many were not duplicates */
export async function startSimple(trx: Transaction<DB>, requests: readonly StartRequest[]): Promise<number> {
  if (requests.length === 0) return 0
  return insertExecutions(
    trx,
    requests.map((request) => executionRow(request, null, null)),
  )
}

function executionRow(request: StartRequest, key: string | null, reason: string | null) {
  const { program, event, now } = request
  return {
    tenant_id: request.tenantId,
    id: newId(),
    flow_id: request.flowId,
    version: request.version,
    status: reason === null ? ('queued' as const) : ('skipped' as const),
    reason,
    event_id: event?.id ?? null,
    trigger_kind: request.kind,
    trigger: JSON.stringify({ data: request.data, event } satisfies StoredTrigger),
    key,
    state: JSON.stringify(initialState(program.flow.start, program.flow.variables)),
    due_at: reason === null ? now : null,
    causation_depth: request.causationDepth,
    expires_at: new Date(now.getTime() + program.flow.settings.lifetime_ms),
    finished_at: reason === null ? null : now,
  }
}

async function insertExecutions(
  trx: Transaction<DB>,
  rows: readonly ReturnType<typeof executionRow>[],
): Promise<number> {
  const { numInsertedOrUpdatedRows } = await trx
    .insertInto('automation_executions')
    .values([...rows])
    .onConflict((conflict) =>
      conflict
        .columns(['flow_id', 'event_id'])
        .where('event_id', 'is not', null)
        .where('retry_of', 'is', null)
        .doNothing(),
    )
    .executeTakeFirstOrThrow()
  return Number(numInsertedOrUpdatedRows)
}

/** Ends executions that have not ended: at once where they wait, at the next step boundary where they run. */
export async function cancelExecutions(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
  reason: string,
): Promise<number> {
  if (ids.length === 0) return 0
  const { rows } = await sql<{ id: string }>`
    with chosen as (
      select id from automation_executions
      where tenant_id = ${tenantId} and id = any(${ids}::uuid[]) and status in ('queued', 'waiting', 'running')
      order by id for update
    ), ended as (
      update automation_executions e
      set status = case when e.status = 'running' then e.status else 'cancelled' end,
          reason = case when e.status = 'running' then e.reason else ${reason} end,
          due_at = case when e.status = 'running' then e.due_at end,
          finished_at = case when e.status = 'running' then null else now() end,
          cancel_requested = true
      from chosen where e.tenant_id = ${tenantId} and e.id = chosen.id
      returning e.id, e.status
    ), waits as (
      delete from automation_waits w using ended where w.execution_id = ended.id and ended.status = 'cancelled'
    )
    select id from ended`.execute(db)
  return rows.length
}

function startScope({ program, tenantId, flowId, version, data, event, now }: StartRequest): FlowScope {
  return {
    trigger: data,
    event,
    steps: {},
    variables: program.flow.variables,
    tenant: { id: tenantId },
    execution: {
      id: '',
      flow_id: flowId,
      flow_name: program.flowName,
      version,
      started_at: now.toISOString(),
      error: null,
    },
  }
}

/** Why it does not start; null: it does. What has to make way for it is cancelled. */
async function refusal(
  trx: Transaction<DB>,
  request: StartRequest,
  key: string | null,
): Promise<string | null> {
  const { tenantId, flowId, program, now } = request
  if (request.causationDepth > MAX_CAUSATION_DEPTH) return 'causation_depth'
  if (request.capReached) return 'rate_cap'
  if (key === null) return null
  const { enrolment } = program.flow.settings
  // Two starts under one key decide one after the other.
  await sql`select pg_advisory_xact_lock(hashtextextended(${`${flowId} ${key}`}, 0))`.execute(trx)
  const active = await trx
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('key', '=', key)
    .where('status', 'in', ['queued', 'running', 'waiting'])
    .execute()
  if (active.length > 0 && enrolment.while_active === 'skip') return 'already_active'
  if (active.length > 0 && enrolment.while_active === 'restart') {
    await cancelExecutions(
      trx,
      tenantId,
      active.map(({ id }) => id),
      'restarted',
    )
  }
  if (enrolment.reenter_after_ms === null) return null
  const recent = await trx
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('key', '=', key)
    .where('status', '<>', 'skipped')
    .where('created_at', '>', new Date(now.getTime() - enrolment.reenter_after_ms))
    .limit(1)
    .execute()
  return recent.length > 0 ? 'reentered_too_soon' : null
}
