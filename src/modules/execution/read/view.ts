import { valueWithoutEchoes } from '#lib/secrets/echo.ts'
import { callSecrets, redactCall } from '#lib/secrets/redact-call.ts'
import { redact } from '#lib/secrets/redact.ts'
import type { Attempt, HeldTarget, StepStart } from '#modules/flow-engine/index.ts'
import type { ExecutionDetailRow, ExecutionRow } from './repository.ts'
import { isActive } from './repository.ts'
import type {
  Execution,
  ExecutionAttempt,
  ExecutionDetail,
  ExecutionStep,
  ExecutionStepStarted,
  HeldBack,
} from './schemas.ts'
import type { StepRow } from './step-repository.ts'

/** @param targets of those that are held back */
export function toExecution(
  { cancel_reason, held_by, ...row }: ExecutionRow,
  targets: readonly HeldTarget[],
): Execution {
  const { error, status, created_at, finished_at } = row
  return {
    ...row,
    error: error && redacted({ code: error.code, message: error.message, step_id: error.step_id || null }),
    cancel_requested: cancel_reason !== null && isActive(status),
    duration_ms: finished_at && finished_at.getTime() - created_at.getTime(),
    held_back: status === 'waiting' ? toHeldBack(targets.find(({ target }) => target === held_by)) : null,
  }
}

function toHeldBack(held: HeldTarget | undefined): HeldBack | null {
  if (held === undefined) return null
  const { asks, name, plugin, first } = held
  return {
    type: asks.type,
    name,
    plugin: plugin?.slug ?? null,
    action_type: asks.type === 'origin' ? null : asks.action_type,
    first: {
      id: first.id,
      tries_at: first.tries_at?.toISOString() ?? null,
      error: redacted(first.error),
    },
  }
}

export function toStep(row: StepRow, carriedSteps: number): ExecutionStep {
  const isHttp = row.type === 'http'
  const sent = isHttp ? callSecrets(row.input ?? {}) : []
  const answered = <T>(value: T): T => redacted(valueWithoutEchoes(value, sent) as T)
  return {
    ...row,
    input: isHttp ? redactCall(row.input) : redact(row.input),
    output: answered(row.output),
    error: answered(row.error),
    note: answered(row.note),
    attempt_log: toAttempts(answered(row.attempt_log)),
    finished_at: new Date(row.started_at.getTime() + row.duration_ms),
    carried_over: row.number < carriedSteps,
  }
}

export function toStepStarted({ stepId, iteration, attempt, sinceMs }: StepStart): ExecutionStepStarted {
  return { step_id: stepId, iteration, since: new Date(sinceMs).toISOString(), attempt }
}

/** Messages are without what was sent before they are kept. */
function toAttempts(attempts: readonly Attempt[] | null | undefined): ExecutionAttempt[] {
  return (attempts ?? []).map(({ number, error, ended_at, duration_ms, next_at }) => ({
    number,
    status: error === null ? 'succeeded' : 'failed',
    error: redacted(error),
    ended_at: new Date(ended_at),
    duration_ms,
    next_at: next_at === null ? null : new Date(next_at).toISOString(),
  }))
}

/** Of the same shape: it has no members that are secret by their name. */
function redacted<T>(value: T): T {
  return redact(value) as T
}

/** As much of what the engine keeps (flow-engine/run/state.ts) as tells what an execution waits for. */
interface StoredThread {
  iteration: string
  step: string
  waiting: string | null
  due_at: number | null
  failures: number
  since: number | null
  attempts?: Attempt[]
}
interface StoredState {
  main: StoredThread
  loop: { threads: StoredThread[] } | null
}

export interface Wait {
  purpose: 'resume' | 'cancel'
  iteration: string
  event: string
}

export function waitingFor(
  row: Pick<ExecutionDetailRow, 'status' | 'state' | 'expires_at'>,
  waits: readonly Wait[],
): ExecutionDetail['waiting_for'] {
  if ((row.status !== 'waiting' && row.status !== 'running') || !('main' in row.state)) return []
  const { main, loop } = row.state as unknown as StoredState
  // What a running one was waiting for by itself is over; items of its loop may wait beside others.
  const threads = row.status === 'running' ? [] : [main]
  return [...threads, ...(loop?.threads ?? [])].flatMap(({ iteration, step, waiting, due_at, attempts }) => {
    if (waiting === null || waiting === 'loop') return []
    const until = due_at === null ? row.expires_at : new Date(due_at)
    return [
      {
        step_id: step,
        iteration,
        reason: waiting as ExecutionDetail['waiting_for'][number]['reason'],
        until: until.toISOString(),
        events: waits.flatMap((wait) =>
          waiting === 'event' && wait.purpose === 'resume' && wait.iteration === iteration
            ? [wait.event]
            : [],
        ),
        attempt_log: waiting === 'retry' ? toAttempts(attempts) : [],
      },
    ]
  })
}

/** The steps that a running execution is at; one whose thread waits for a loop is told by the loop's own threads. */
export function runningAt({
  status,
  state,
}: Pick<ExecutionDetailRow, 'status' | 'state'>): ExecutionDetail['at'] {
  if (status !== 'running' || !('main' in state)) return []
  const { main, loop } = state as unknown as StoredState
  return [main, ...(loop?.threads ?? [])]
    .filter(({ waiting }) => waiting === null)
    .map(({ iteration, step, since, failures, attempts }) => ({
      step_id: step,
      iteration,
      since: since === null ? null : new Date(since).toISOString(),
      attempt: failures + 1,
      ...(failures > 0 && attempts !== undefined && { attempt_log: toAttempts(attempts) }),
    }))
}
