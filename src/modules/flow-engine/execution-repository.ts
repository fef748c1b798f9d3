import type { Kysely } from 'kysely'
import type pg from 'pg'
import type { DB, ExecutionStatus, StepStatus, TriggerKind } from '../../../db/schema.ts'
import type { ExecutionError, ExecutionState } from './state.ts'

/**
 * The engine's hot SQL: prepared statements, each for a whole batch. Times in the state are epoch milliseconds of
 * the database's clock, which every claim brings along; `now` replaces that clock in tests.
 */
export interface ClaimedExecution {
  tenant_id: string
  id: string
  flow_id: string
  version: number
  trigger_kind: TriggerKind
  trigger: Record<string, unknown>
  event_id: string | null
  state: ExecutionState
  lease_token: number
  causation_depth: number
  step_count: number
  received: number
  expires_at_ms: number
  created_at_ms: number
  now_ms: number
}

/** Executions of one tenant that one claim takes at most: the others' turn comes in the same statement. */
const CLAIM_PER_TENANT = 64

const CLAIM = `
with recursive clock as (
  select coalesce($4::timestamptz, clock_timestamp()) as now
), tenants_due as (
  (select tenant_id, due_at from automation_executions where due_at is not null order by tenant_id, due_at limit 1)
  union all
  select next.tenant_id, next.due_at from tenants_due cross join lateral (
    select tenant_id, due_at from automation_executions
    where due_at is not null and tenant_id > tenants_due.tenant_id order by tenant_id, due_at limit 1
  ) next
), due as (
  select chosen.tenant_id, chosen.id
  from tenants_due, clock, lateral (
    select e.tenant_id, e.id from automation_executions e
    where e.tenant_id = tenants_due.tenant_id and e.due_at <= clock.now
      and not exists (select from flow_cursors c where c.tenant_id = e.tenant_id and c.halted_at is not null)
    order by e.due_at limit ${CLAIM_PER_TENANT} for update skip locked
  ) chosen
  where tenants_due.due_at <= clock.now
  limit $1
)
update automation_executions e
set status = 'running', reason = null, lease_token = e.lease_token + 1,
    started_at = coalesce(e.started_at, clock_timestamp()),
    lease_until = clock_timestamp() + $2 * interval '1 millisecond',
    due_at = coalesce($4::timestamptz, clock_timestamp()) + $3 * interval '1 millisecond'
from due where e.tenant_id = due.tenant_id and e.id = due.id
returning e.tenant_id, e.id, e.flow_id, e.version, e.trigger_kind, e.trigger, e.event_id, e.state, e.lease_token,
  e.causation_depth, e.step_count, e.received,
  (extract(epoch from e.expires_at) * 1000)::float8 as expires_at_ms,
  (extract(epoch from e.created_at) * 1000)::float8 as created_at_ms,
  (extract(epoch from coalesce($4::timestamptz, clock_timestamp())) * 1000)::float8 as now_ms`

/** Takes due executions, tenant by tenant; one that is not given back becomes due again when its lease ends. */
export async function claimExecutions(
  pool: pg.Pool,
  options: { limit: number; leaseMs: number; now: Date | null },
): Promise<ClaimedExecution[]> {
  const { rows } = await pool.query<ClaimedExecution>({
    name: 'claim_executions',
    text: CLAIM,
    values: [options.limit, options.leaseMs, options.leaseMs, options.now],
  })
  return rows
}

/** One step that is done. */
export interface StepRecord {
  number: number
  stepId: string
  iteration: string
  type: string
  status: StepStatus
  port: string | null
  input: unknown
  output: unknown
  error: { code: string; message: string } | null
  attempts: number
  note: string | null
  startedAtMs: number
  durationMs: number
}

/** An execution at a boundary: what it did since the last one, and where it stands now. */
export interface Boundary {
  tenantId: string
  id: string
  flowId: string
  leaseToken: number
  status: ExecutionStatus
  reason: string | null
  handled: boolean
  error: ExecutionError | null
  /** JSON, as it was at the boundary: other lines of the execution go on meanwhile. */
  state: string
  /** Null with status running: the lease goes on. */
  dueAtMs: number | null
  leaseMs: number
  stepCount: number
  /** Events it knows to have received: if there are more by now, it is due at once. */
  received: number
  steps: readonly StepRecord[]
}

export interface BoundaryAnswer {
  /** False: somebody else has the execution, or it has ended. */
  counted: boolean
  cancelRequested: boolean
}

const COMMIT = `
with boundary as (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bool[], $7::jsonb[], $8::jsonb[],
    $9::float8[], $10::float8[], $11::int[], $12::int[])
  as b (tenant_id, id, lease_token, status, reason, handled, error, state, due_at_ms, lease_ms, step_count, received)
), done as (
  update automation_executions e
  set status = b.status, reason = b.reason, handled = b.handled, error = b.error, state = b.state,
      step_count = b.step_count,
      due_at = case
        when b.status = 'running' then coalesce($26::timestamptz, clock_timestamp()) + b.lease_ms * interval '1 millisecond'
        when b.status <> 'waiting' then null
        when e.received <> b.received then coalesce($26::timestamptz, clock_timestamp())
        else to_timestamp(b.due_at_ms / 1000) end,
      lease_until = case when b.status = 'running' then clock_timestamp() + b.lease_ms * interval '1 millisecond' end,
      finished_at = case when b.status not in ('running', 'waiting') then clock_timestamp() end
  from boundary b
  where e.tenant_id = b.tenant_id and e.id = b.id and e.lease_token = b.lease_token and e.status = 'running'
    and e.lease_until > clock_timestamp()
  returning e.id, e.cancel_requested
), steps as (
  insert into automation_steps (tenant_id, execution_id, number, step_id, iteration, type, status, port, input, output,
    error, attempts, note, started_at, duration_ms)
  select s.tenant_id, s.execution_id, s.number, s.step_id, s.iteration, s.type, s.status, s.port, s.input, s.output,
    s.error, s.attempts, s.note, to_timestamp(s.started_at_ms / 1000), s.duration_ms
  from unnest($13::uuid[], $14::uuid[], $15::int[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[],
    $21::jsonb[], $22::jsonb[], $23::jsonb[], $24::int[], $25::text[], $27::float8[], $28::int[])
    as s (tenant_id, execution_id, number, step_id, iteration, type, status, port, input, output, error, attempts,
      note, started_at_ms, duration_ms)
  join done on done.id = s.execution_id
), waits as (
  delete from automation_waits w using boundary b
  where w.execution_id = b.id and b.status not in ('running', 'waiting') and exists (select from done where done.id = b.id)
)
select id, cancel_requested from done`

/** Writes boundaries of many executions in one statement, each fenced by its lease. One answer for each, in order. */
export async function commitBoundaries(
  pool: pg.Pool,
  boundaries: readonly Boundary[],
  now: Date | null,
): Promise<BoundaryAnswer[]> {
  const steps = boundaries.flatMap((boundary) => boundary.steps.map((step) => ({ boundary, step })))
  const { rows } = await pool.query<{ id: string; cancel_requested: boolean }>({
    name: 'commit_boundaries',
    text: COMMIT,
    values: [
      boundaries.map((b) => b.tenantId),
      boundaries.map((b) => b.id),
      boundaries.map((b) => b.leaseToken),
      boundaries.map((b) => b.status),
      boundaries.map((b) => b.reason),
      boundaries.map((b) => b.handled),
      boundaries.map((b) => json(b.error)),
      boundaries.map((b) => b.state),
      boundaries.map((b) => b.dueAtMs),
      boundaries.map((b) => b.leaseMs),
      boundaries.map((b) => b.stepCount),
      boundaries.map((b) => b.received),
      steps.map(({ boundary }) => boundary.tenantId),
      steps.map(({ boundary }) => boundary.id),
      steps.map(({ step }) => step.number),
      steps.map(({ step }) => step.stepId),
      steps.map(({ step }) => step.iteration),
      steps.map(({ step }) => step.type),
      steps.map(({ step }) => step.status),
      steps.map(({ step }) => step.port),
      steps.map(({ step }) => json(step.input)),
      steps.map(({ step }) => json(step.output)),
      steps.map(({ step }) => json(step.error)),
      steps.map(({ step }) => step.attempts),
      steps.map(({ step }) => step.note),
      now,
      steps.map(({ step }) => step.startedAtMs),
      steps.map(({ step }) => step.durationMs),
    ],
  })
  const done = new Map(rows.map((row) => [row.id, row.cancel_requested]))
  return boundaries.map(({ id }) => ({ counted: done.has(id), cancelRequested: done.get(id) ?? false }))
}

function json(value: unknown): string | null {
  return value === undefined || value === null ? null : JSON.stringify(value)
}

/** Keeps executions whose step takes long. @returns those that are still ours */
export async function renewExecutions(
  pool: pg.Pool,
  held: readonly { tenantId: string; id: string; leaseToken: number }[],
  leaseMs: number,
  now: Date | null,
): Promise<Set<string>> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'renew_executions',
    text: `update automation_executions e
           set lease_until = clock_timestamp() + $4 * interval '1 millisecond',
               due_at = coalesce($5::timestamptz, clock_timestamp()) + $4 * interval '1 millisecond'
           from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as h (tenant_id, id, lease_token)
           where e.tenant_id = h.tenant_id and e.id = h.id and e.lease_token = h.lease_token and e.status = 'running'
             and e.lease_until > clock_timestamp()
           returning e.id`,
    values: [held.map((h) => h.tenantId), held.map((h) => h.id), held.map((h) => h.leaseToken), leaseMs, now],
  })
  return new Set(rows.map((row) => row.id))
}

/** Outputs of an execution's succeeded steps, by step; of a loop's items only those of `iterations`. */
export async function loadOutputs(
  db: Kysely<DB>,
  tenantId: string,
  executionId: string,
): Promise<{ step_id: string; iteration: string; output: unknown }[]> {
  return db
    .selectFrom('automation_steps')
    .select(['step_id', 'iteration', 'output'])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .where('status', '=', 'succeeded')
    .orderBy('number')
    .execute()
}

/** Waits of an execution that an event has come for. */
export async function loadReceived(
  db: Kysely<DB>,
  tenantId: string,
  executionId: string,
): Promise<{ iteration: string; step_id: string; alternative: number; received_event_id: string }[]> {
  const rows = await db
    .selectFrom('automation_waits')
    .select(['iteration', 'step_id', 'alternative', 'received_event_id'])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .where('purpose', '=', 'resume')
    .where('received_event_id', 'is not', null)
    .execute()
  return rows.map((row) => ({ ...row, received_event_id: row.received_event_id as string }))
}

/** A wait that is over: by its event, by its timeout, or because its execution went another way. */
export async function removeWaits(
  db: Kysely<DB>,
  tenantId: string,
  executionId: string,
  iteration: string,
): Promise<void> {
  await db
    .deleteFrom('automation_waits')
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .where('purpose', '=', 'resume')
    .where('iteration', '=', iteration)
    .execute()
}
