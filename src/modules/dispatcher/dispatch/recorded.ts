import type { RecordedInvocation } from './claim-repository.ts'
import type { ActionResult } from '../types.ts'

/** Returns the result of an earlier run of the same request. @param recorded not one that runs */
export function fromRecorded(actionType: string, recorded: RecordedInvocation): ActionResult {
  const { status, error_code: code, error_message: message } = recorded
  return {
    actionType,
    success: status !== 'failed',
    status: status === 'running' ? 'failed' : status,
    data: recorded.data,
    error: code === null ? null : { code, message: message ?? '' },
    responseStatus: recorded.response_status,
    durationMs: recorded.duration_ms ?? 0,
    attempts: recorded.attempts,
    replayed: true,
    invocationId: recorded.id,
    transient: false,
    retryAfterMs: null,
  }
}
