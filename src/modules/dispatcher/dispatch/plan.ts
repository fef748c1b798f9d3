import type { CallErrorCode } from '#lib/error-codes.ts'
import { createHash } from 'node:crypto'
import { canonicalNumber, isRawNumber } from '#lib/json/index.ts'
import { segmentFault } from '#lib/path-segment.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { pathFields, type RegistryAction, type RegistryService } from '#modules/registry/index.ts'
import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import type { ActionRequest, ActionResult, PlannedAction } from '../types.ts'

export type Plan = { planned: PlannedAction } | { refused: ActionResult }

const IDEMPOTENCY_KEY_MAX_CHARS = 200
const VIOLATIONS_SHOWN = 3

/** Resolves an action and checks its payload, before anything runs. */
export async function planAction(
  registry: Pick<RegistryService, 'resolve'>,
  tenantId: string,
  request: ActionRequest,
): Promise<Plan> {
  // The action is one further than what led to it.
  if (request.causationDepth > MAX_CAUSATION_DEPTH + 1) {
    const message = `More than ${MAX_CAUSATION_DEPTH} automations led to it: plugins whose actions call each other end here.`
    return { refused: failed(request, 'causation_depth', message) }
  }
  const resolved = await registry.resolve(tenantId, request.actionType, request.pluginRef)
  if ('problem' in resolved) {
    return {
      refused: failed(request, resolved.problem, resolved.message),
    }
  }
  const { action } = resolved
  const problem = payloadProblem(action, request.payload)
  if (problem !== null) return { refused: failed(request, problem.code, problem.message) }
  return { planned: { request, action, idempotencyKey: idempotencyKey(request), target: null } }
}

/** A result without a call: refused, conflicting or still being done elsewhere. */
export function failed(request: ActionRequest, code: string, message: string): ActionResult {
  return {
    actionType: request.actionType,
    success: false,
    status: 'failed',
    data: null,
    error: { code, message },
    responseStatus: null,
    durationMs: 0,
    attempts: 0,
    replayed: false,
    invocationId: null,
    transient: false,
    retryAfterMs: null,
  }
}

/** SHA-256 over what is asked for: the same event_key with another fingerprint is another request. */
export function fingerprintOf(request: ActionRequest): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(inOrder([request.actionType, request.pluginRef, request.payload])))
    .digest()
}

/** Members by name, numbers by value: callers whose JSON writers shuffle or spell them otherwise say the same thing. */
export function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (isRawNumber(value)) return canonicalNumber(value)
  if (Array.isArray(value)) return value.map(inOrder)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, member]) => [name, inOrder(member)]))
}

/** A platform action needs what its path does: of all else the platform judges, and its answer is the result. */
function payloadProblem(
  action: RegistryAction,
  payload: Record<string, unknown>,
): { code: CallErrorCode; message: string } | null {
  const missing = action.required_fields.filter(
    (field) => !Object.hasOwn(payload, field) || payload[field] === null || payload[field] === '',
  )
  if (missing.length > 0) {
    return { code: 'missing_field', message: `The payload lacks: ${missing.join(', ')}.` }
  }
  const faults = action.source === 'platform' ? pathFaults(action, payload) : schemaFaults(action, payload)
  return faults.length === 0 ? null : { code: 'invalid_payload', message: faults.join('; ') }
}

function pathFaults(action: RegistryAction, payload: Record<string, unknown>): string[] {
  return pathFields(action).flatMap((field) => {
    const fault = segmentFault(payload[field])
    return fault === null ? [] : [`/${field}: ${fault}`]
  })
}

function schemaFaults(action: RegistryAction, payload: Record<string, unknown>): string[] {
  if (action.input_schema === null) return []
  return validate(action.input_schema, payload)
    .slice(0, VIOLATIONS_SHOWN)
    .map(({ pointer, detail }) => `${pointer || '/'}: ${detail}`)
}

/** `execution:event_key`, the same over all attempts and repetitions, fit for a header, and no other action's. */
function idempotencyKey({ flowExecutionId, eventKey }: ActionRequest): string {
  const key = `${encodeURIComponent(flowExecutionId.toWellFormed())}:${printable(eventKey)}`
  if (key.length <= IDEMPOTENCY_KEY_MAX_CHARS) return key
  return createHash('sha256').update(key).digest('base64url')
}

function printable(text: string): string {
  return text.toWellFormed().replaceAll(/[^\x21-\x7e]|%/gu, encodeURIComponent)
}
