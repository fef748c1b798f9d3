import type { ExecutionStatus } from '#db/schema.ts'
import type { StatsRecorder } from '#infra/statistics/recorder.ts'

/** Adds an execution that has ended to the statistics; one that never began, and was skipped, is none. */
export function countEnded(
  statistics: StatsRecorder,
  execution: {
    tenantId: string
    flowId: string
    status: ExecutionStatus
    errorCode: string | null
    durationMs: number
  },
): void {
  const { tenantId, flowId, status, errorCode, durationMs } = execution
  if (!isCounted(status)) return
  statistics.add('executions', {
    tenantId,
    keys: { flow_id: flowId, error_code: status === 'failed' ? (errorCode ?? '') : '' },
    counts: [status],
    ms: Math.max(0, durationMs),
  })
}

const COUNTED = ['completed', 'failed', 'cancelled', 'timed_out'] as const

function isCounted(status: ExecutionStatus): status is (typeof COUNTED)[number] {
  return (COUNTED as readonly string[]).includes(status)
}
