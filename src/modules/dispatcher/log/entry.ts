import { isRawNumber } from '#lib/json/index.ts'
import { newId } from '#lib/ids.ts'
import { redact } from '#lib/secrets/redact.ts'
import type { Lease } from '../dispatch/claim-repository.ts'
import type { ResultRecord } from '../dispatch/result-repository.ts'
import type { ActionRequest, ActionResult, PlannedAction } from '../types.ts'

/** A logged payload or result is cut beyond this. */
const LOGGED_MAX_CHARS = 32 * 1024
/** From here on JSON writes numbers with an exponent, and `jsonb` writes that out in full. */
const PLAIN_NUMBER_BELOW = 1e21

/** What was not done, for the log alone. */
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
  }
}

/** What was done. @param lease null: its row tells already how it ended */
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
    data: result.data === null ? null : JSON.stringify(result.data),
    completeSeconds: result.status === 'accepted' ? completionSeconds : null,
  }
}

/** As JSON with secrets redacted, or a note of its size when it is too large for a log. */
export function logged(value: unknown): string | null {
  if (value === null) return null
  const text = JSON.stringify(withPlainNumbers(redact(value)))
  return text.length <= LOGGED_MAX_CHARS ? text : JSON.stringify({ truncated: true, characters: text.length })
}

/** Numbers that a reader of the log would get rounded or as pages of zeros become text. */
function withPlainNumbers(value: unknown): unknown {
  if (isRawNumber(value)) return value.rawJSON
  if (typeof value === 'number') return Math.abs(value) < PLAIN_NUMBER_BELOW ? value : String(value)
  if (Array.isArray(value)) return value.map(withPlainNumbers)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withPlainNumbers(member)]))
}
