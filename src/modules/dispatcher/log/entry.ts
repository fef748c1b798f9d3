import { writeJson } from '#db/json.ts'
import { sourceOf } from '#lib/json/source.ts'
import { newId } from '#lib/ids.ts'
import { redact } from '#lib/secrets/redact.ts'
import type { Lease } from '../dispatch/claim-repository.ts'
import type { ResultRecord } from '../dispatch/result-repository.ts'
import type { ActionRequest, ActionResult, PlannedAction } from '../types.ts'

/** A logged payload or result is cut beyond this. */
const LOGGED_MAX_CHARS = 32 * 1024

/** Returns the record of an action that was not done, for the log alone. */
export function logOnly(tenantId: string, request: ActionRequest, result: ActionResult): ResultRecord {
  return {
    tenantId,
    lease: null,
    invocationId: result.invocationId,
    logId: newId(),
    flowExecutionId: request.flowExecutionId,
    eventKey: request.eventKey,
    actionType: request.actionType,
    pluginId: null,
    plugin: null,
    payload: logged(request.payload) ?? '{}',
    status: result.status,
    responseStatus: result.responseStatus,
    data: null,
    loggedResult: logged(result.error ?? result.data),
    errorCode: result.error?.code ?? null,
    errorMessage: result.error?.message ?? null,
    attempts: result.attempts,
    durationMs: result.durationMs,
    completeSeconds: null,
    keyId: request.keyId ?? null,
  }
}

/** Returns the record of an action that was done. @param lease null: its row tells already how it ended */
export function toRecord(
  tenantId: string,
  { request, action }: PlannedAction,
  lease: Lease | null,
  result: ActionResult,
  completionSeconds: number,
): ResultRecord {
  return {
    ...logOnly(tenantId, request, result),
    lease,
    pluginId: action.plugin_id,
    plugin: action.plugin,
    data: result.data === null ? null : writeJson(result.data),
    completeSeconds: result.status === 'accepted' ? completionSeconds : null,
  }
}

/** As it was written with secrets redacted, or a note of its size when it is too large for a log. */
export function logged(value: unknown): string | null {
  if (value === null) return null
  const redacted = writeJson(redact(value))
  const written = sourceOf(value)
  const text = written !== undefined && redacted === writeJson(value) ? written : redacted
  return text.length <= LOGGED_MAX_CHARS ? text : JSON.stringify({ truncated: true, characters: text.length })
}
