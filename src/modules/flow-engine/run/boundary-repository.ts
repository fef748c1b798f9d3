import { plainArray, textArray } from '#db/array-literal.ts'
import { FLUSHED } from '#db/fence.ts'
import type pg from 'pg'
import type { ExecutionStatus, StepStatus } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import type { Attempt, ExecutionError } from './state.ts'

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
  /** Null: it was tried once. */
  attemptLog: readonly Attempt[] | null
  note: string | null
  startedAtMs: number
  durationMs: number
}

/** An execution at a boundary: what it did since the last one, and where it stands now. */
export interface Boundary {
  tenantId: string
  id: string
  leaseToken: number
  /** Running: the lease goes on. Queued: given back, to be taken up again at once. */
  status: ExecutionStatus
  reason: string | null
  handled: boolean
  error: ExecutionError | null
  /** JSON, as it was at the boundary: other threads of the execution go on meanwhile. */
  state: string
  /** The time at which a waiting one goes on. */
  dueAtMs: number | null
  /** The call's target that is away: it waits for it, or tries it. */
  heldBy: string | null
  /** It was held back when it was taken: whoever releases it meanwhile says so by the row. */
  wasHeld: boolean
  /** Null: the lease is fresh and stays as it is, so that no index has to be written (a heap-only update). */
  leaseMs: number | null
  stepCount: number
  /** Events it knows to have received: if there are more by now, it is due at once. */
  received: number
  /** Iterations whose wait is decided. */
  closedWaits: readonly string[]
  steps: readonly StepRecord[]
}

/** An execution that has ended, as statistics are told of it. */
export interface EndedExecution {
  flowId: string
  /** From its start. */
  durationMs: number
  /** The time at which it was first taken up. */
  startedAtMs: number
}

export interface BoundaryAnswer {
  /** The status now: as asked for, or cancelled. Null: somebody else has the execution, or it has ended. */
  status: ExecutionStatus | null
  /**
   * Nothing was written yet: somebody else is writing the row, and it is this lease's, as far as is known. To be written
   * again.
   */
  isLocked: boolean
  /** The tenant was stopped. */
  isHalted: boolean
  /** It has ended now. */
  ended: EndedExecution | null
  /** Of JSON: what was written of its steps' outputs. */
  outputBytes: number
}

const NOTHING_WRITTEN = {
  status: null,
  isLocked: false,
  isHalted: false,
  ended: null,
  outputBytes: 0,
} as const

/**
 * Boundaries of many shops wait for nobody's transaction, such as a matcher's that goes from event to event: what is
 * locked is left out, so that no two can wait for one another, and a shop's turn holds up no other shop's. A boundary
 * alone may wait. Executions are locked before their waits, as everybody does. A boundary is flushed to disk before it counts, whatever the pool's default is: after a crash
 * of Postgres, too, a step that completed has completed.
 */
const commit = (isAlone: boolean): string => `
with boundary as (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bool[], $7::jsonb[], $8::json[],
    $9::float8[], $10::float8[], $11::int[], $12::int[], $31::text[], $32::bool[])
  as b (tenant_id, id, lease_token, status, reason, handled, error, state, due_at_ms, lease_ms, step_count, received,
    held_by, was_held)
), locked as materialized (
  select e.tenant_id, e.id, e.received, e.cancel_reason, b.was_held and e.held_by is null as is_released,
    e.cancel_reason is not null and b.status in ('running', 'waiting', 'queued') as is_cancelled
  from automation_executions e join boundary b on e.tenant_id = b.tenant_id and e.id = b.id
  where e.lease_token = b.lease_token and e.status = 'running'
  order by e.tenant_id, e.id for update of e ${isAlone ? '' : 'skip locked'}
), done as (
  update automation_executions e
  set status = case when l.is_cancelled then 'cancelled' else b.status end,
      reason = case when l.is_cancelled then l.cancel_reason else b.reason end,
      handled = b.handled, error = b.error, state = b.state, step_count = b.step_count,
      held_by = case when not l.is_cancelled and not l.is_released then b.held_by end,
      due_at = case
        when l.is_cancelled then null
        when b.status = 'running' and b.lease_ms is null then e.due_at
        when b.status = 'running' then coalesce($15::timestamptz, clock_timestamp()) + b.lease_ms * interval '1 millisecond'
        when b.status = 'queued' or (b.status = 'waiting' and (l.received <> b.received or l.is_released))
          then coalesce($15::timestamptz, clock_timestamp())
        when b.status = 'waiting' then to_timestamp(b.due_at_ms / 1000) end,
      lease_until = case
        when l.is_cancelled or b.status <> 'running' then null
        when b.lease_ms is null then e.lease_until
        else clock_timestamp() + b.lease_ms * interval '1 millisecond' end,
      finished_at = case when l.is_cancelled or b.status not in ('running', 'waiting', 'queued')
        then coalesce($15::timestamptz, clock_timestamp()) end
  from boundary b join locked l on l.tenant_id = b.tenant_id and l.id = b.id
  where e.tenant_id = l.tenant_id and e.id = l.id
  returning e.tenant_id, e.id, e.status, e.flow_id,
    extract(epoch from e.finished_at - e.created_at)::float8 * 1000 as duration_ms,
    extract(epoch from e.started_at)::float8 * 1000 as started_at_ms
), steps as (
  insert into automation_steps (tenant_id, execution_id, number, step_id, iteration, type, status, port, input, output,
    error, attempts, attempt_log, note, started_at, duration_ms)
  select s.tenant_id, s.execution_id, s.number, s.step_id, s.iteration, s.type, s.status, s.port, s.input, s.output,
    s.error, s.attempts, s.attempt_log, s.note, to_timestamp(s.started_at_ms / 1000), s.duration_ms
  from unnest($16::uuid[], $17::uuid[], $18::int[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[],
    $24::json[], $25::json[], $26::jsonb[], $27::int[], $28::text[], $29::float8[], $30::bigint[], $33::jsonb[])
    as s (tenant_id, execution_id, number, step_id, iteration, type, status, port, input, output, error, attempts,
      note, started_at_ms, duration_ms, attempt_log)
  join done on done.tenant_id = s.tenant_id and done.id = s.execution_id
  on conflict (execution_id, number) do nothing
), waits as (
  delete from automation_waits w using done
  where w.tenant_id = done.tenant_id and w.execution_id = done.id
    and (done.status not in ('running', 'waiting', 'queued')
      or (w.purpose = 'resume' and exists (
        select from unnest($13::uuid[], $14::text[]) as c (id, iteration)
        where c.id = w.execution_id and c.iteration = w.iteration)))
)
select id, status, case when duration_ms is not null then flow_id end as flow_id, duration_ms, started_at_ms, ${FLUSHED},
  exists (select from flow_cursors c where c.tenant_id = done.tenant_id and c.halted_at is not null) as is_halted
from done`

const COMMIT = { name: 'commit_boundaries', text: commit(false) }
const COMMIT_ALONE = { name: 'commit_boundary', text: commit(true) }

/**
 * Writes boundaries of many executions in one statement, each fenced by its lease. Which of the others are locked is a
 * question of its own; if it fails, all of them count as locked, and nothing is lost of what was written.
 *
 * @param onUnknown told that the question has failed
 * @returns one answer for each, in order
 */
export async function commitBoundaries(
  pool: pg.Pool,
  boundaries: readonly Boundary[],
  now: Date | null,
  onUnknown: (error: unknown) => void = () => undefined,
): Promise<BoundaryAnswer[]> {
  const latest = new Map<string, number>()
  for (const { id, leaseToken } of boundaries) latest.set(id, Math.max(leaseToken, latest.get(id) ?? 0))
  const isLatest = ({ id, leaseToken }: Boundary): boolean => latest.get(id) === leaseToken
  const written = boundaries.filter(isLatest)
  const answers = await write(pool, written, now, COMMIT)
  const unanswered = written.filter(({ id }) => !answers.has(id))
  const locked = await selectLocked(pool, unanswered).catch((error: unknown) => {
    onUnknown(error)
    return new Set(unanswered.map(({ id }) => id))
  })
  return boundaries.map(
    (boundary) =>
      (isLatest(boundary) ? answers.get(boundary.id) : undefined) ?? {
        ...NOTHING_WRITTEN,
        isLocked: isLatest(boundary) && locked.has(boundary.id),
      },
  )
}

/** Writes one boundary, and waits for whoever is writing its row. */
export async function commitAlone(
  pool: pg.Pool,
  boundary: Boundary,
  now: Date | null,
): Promise<BoundaryAnswer> {
  const answer = (await write(pool, [boundary], now, COMMIT_ALONE)).get(boundary.id)
  return answer ?? NOTHING_WRITTEN
}

/** Returns the ids of those whose lease still stands, though nothing was written: their rows are locked. */
async function selectLocked(pool: pg.Pool, boundaries: readonly Boundary[]): Promise<Set<string>> {
  if (boundaries.length === 0) return new Set()
  const { rows } = await pool.query<{ id: string }>({
    name: 'locked_boundaries',
    text: `select e.id from automation_executions e
           join unnest($1::uuid[], $2::uuid[], $3::bigint[]) as b (tenant_id, id, lease_token)
             on e.tenant_id = b.tenant_id and e.id = b.id and e.lease_token = b.lease_token
           where e.status = 'running'`,
    values: [
      plainArray(boundaries.map((b) => b.tenantId)),
      plainArray(boundaries.map((b) => b.id)),
      plainArray(boundaries.map((b) => b.leaseToken)),
    ],
  })
  return new Set(rows.map(({ id }) => id))
}

async function write(
  pool: pg.Pool,
  boundaries: readonly Boundary[],
  now: Date | null,
  statement: typeof COMMIT,
): Promise<Map<string, BoundaryAnswer>> {
  const steps = boundaries.flatMap((boundary) => boundary.steps.map((step) => ({ boundary, step })))
  const outputs = steps.map(({ step }) => json(step.output))
  const outputBytes = new Map<string, number>()
  for (const [index, { boundary }] of steps.entries()) {
    outputBytes.set(boundary.id, (outputBytes.get(boundary.id) ?? 0) + (outputs[index]?.length ?? 0))
  }
  const closed = boundaries.flatMap(({ id, closedWaits }) =>
    closedWaits.map((iteration) => ({ id, iteration })),
  )
  const { rows } = await pool.query<{
    id: string
    status: ExecutionStatus
    flow_id: string | null
    duration_ms: number | null
    started_at_ms: number
    is_halted: boolean
  }>({
    ...statement,
    values: [
      plainArray(boundaries.map((b) => b.tenantId)),
      plainArray(boundaries.map((b) => b.id)),
      plainArray(boundaries.map((b) => b.leaseToken)),
      plainArray(boundaries.map((b) => b.status)),
      textArray(boundaries.map((b) => b.reason && plain(b.reason))),
      plainArray(boundaries.map((b) => b.handled)),
      textArray(boundaries.map((b) => json(b.error))),
      textArray(boundaries.map((b) => acceptable(b.state))),
      plainArray(boundaries.map((b) => b.dueAtMs)),
      plainArray(boundaries.map((b) => b.leaseMs)),
      plainArray(boundaries.map((b) => b.stepCount)),
      plainArray(boundaries.map((b) => b.received)),
      plainArray(closed.map(({ id }) => id)),
      textArray(closed.map(({ iteration }) => iteration)),
      now,
      plainArray(steps.map(({ boundary }) => boundary.tenantId)),
      plainArray(steps.map(({ boundary }) => boundary.id)),
      plainArray(steps.map(({ step }) => step.number)),
      textArray(steps.map(({ step }) => step.stepId)),
      textArray(steps.map(({ step }) => step.iteration)),
      textArray(steps.map(({ step }) => step.type)),
      plainArray(steps.map(({ step }) => step.status)),
      textArray(steps.map(({ step }) => step.port)),
      textArray(steps.map(({ step }) => json(step.input))),
      textArray(outputs),
      textArray(steps.map(({ step }) => json(step.error))),
      plainArray(steps.map(({ step }) => step.attempts)),
      textArray(steps.map(({ step }) => step.note && plain(step.note))),
      plainArray(steps.map(({ step }) => step.startedAtMs)),
      plainArray(steps.map(({ step }) => step.durationMs)),
      textArray(boundaries.map((b) => b.heldBy)),
      plainArray(boundaries.map((b) => b.wasHeld)),
      textArray(steps.map(({ step }) => json(step.attemptLog))),
    ],
  })
  return new Map(
    rows.map(({ id, status, is_halted: isHalted, flow_id: flowId, duration_ms, started_at_ms }) => [
      id,
      {
        status,
        isLocked: false,
        isHalted,
        ended: flowId === null ? null : { flowId, durationMs: duration_ms ?? 0, startedAtMs: started_at_ms },
        outputBytes: outputBytes.get(id) ?? 0,
      },
    ]),
  )
}

function json(value: unknown): string | null {
  return value === undefined || value === null ? null : acceptable(writeJson(value))
}

/** Postgres takes neither NUL nor half a surrogate pair; a boundary of one flow must not fail those of others. */
const UNACCEPTABLE = /\\\\|\\u0000|\\ud[89a-f][0-9a-f]{2}/g

function acceptable(text: string): string {
  return text.includes('\\u')
    ? text.replace(UNACCEPTABLE, (found) => (found === '\\\\' ? found : '\\ufffd'))
    : text
}

function plain(text: string): string {
  return text.replaceAll('\0', '\ufffd')
}
