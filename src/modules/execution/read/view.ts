import { valueWithoutEchoes } from '#lib/secrets/echo.ts'
import { callSecrets, redactCall } from '#lib/secrets/redact-call.ts'
import { redact } from '#lib/secrets/redact.ts'
import type { ExecutionDetailRow, ExecutionRow } from './repository.ts'
import { isActive } from './repository.ts'
import type { Execution, ExecutionDetail, ExecutionStep } from './schemas.ts'
import type { StepRow } from './step-repository.ts'

export function toExecution({ cancel_reason, ...row }: ExecutionRow): Execution {
  const { error, status, created_at, finished_at } = row
  return {
    ...row,
    error: error && redacted({ code: error.code, message: error.message, step_id: error.step_id || null }),
    cancel_requested: cancel_reason !== null && isActive(status),
    duration_ms: finished_at && finished_at.getTime() - created_at.getTime(),
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
    finished_at: new Date(row.started_at.getTime() + row.duration_ms),
    carried_over: row.number < carriedSteps,
  }
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
  if (row.status !== 'waiting') return []
  const { main, loop } = row.state as unknown as StoredState
  return [main, ...(loop?.threads ?? [])].flatMap(({ iteration, step, waiting, due_at }) => {
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
      },
    ]
  })
}
