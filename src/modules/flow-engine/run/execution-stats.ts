import type { ExecutionStatus } from '#db/schema.ts'
import type { StatsRecorder } from '#infra/statistics/recorder.ts'
import { mintedAtMs } from '#lib/ids.ts'

/** Adds an execution that has ended to the statistics; one that never began, and was skipped, is none. */
export function countEnded(
  statistics: StatsRecorder,
  execution: {
    tenantId: string
    id: string
    flowId: string
    status: ExecutionStatus
    errorCode: string | null
    durationMs: number
    startedAtMs: number
  },
): void {
  const { tenantId, id, flowId, status, errorCode, durationMs, startedAtMs } = execution
  if (!isCounted(status)) return
  statistics.add('executions', {
    tenantId,
    keys: { flow_id: flowId, error_code: status === 'failed' ? (errorCode ?? '') : '' },
    counts: [status],
    ms: Math.max(0, durationMs),
    // Its id has the time of the event or the firing that started it.
    queueMs: Math.max(0, startedAtMs - mintedAtMs(id)),
  })
}

const COUNTED = ['completed', 'failed', 'cancelled', 'timed_out'] as const

function isCounted(status: ExecutionStatus): status is (typeof COUNTED)[number] {
  return (COUNTED as readonly string[]).includes(status)
}
