import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '../../lib/ids.ts'
import { redact } from '../../lib/redact.ts'
import { callAction, type CallOutcome } from './call.ts'
import type { ClaimAnswer, RecordedInvocation, ResultRecord } from './invocation-repository.ts'
import { failed, fingerprintOf, type Plan } from './plan.ts'
import type { ActionRequest, ActionResult, DispatcherContext, PlannedAction } from './types.ts'

/** A logged payload or result is cut beyond this. */
const LOGGED_MAX_CHARS = 32 * 1024
/** How long a repeated request waits for the run that is under way elsewhere. */
const BUSY_WAIT_MS = 30_000
const BUSY_LOOK_MS = 200

/** An action on its way: claimed before anything of its dispatch runs, so that nothing runs twice. */
export interface Prepared {
  request: ActionRequest
  plan: Plan
  claim: ClaimAnswer | null
}

export async function prepareAction(
  ctx: DispatcherContext,
  tenantId: string,
  request: ActionRequest,
  plan: Plan,
): Promise<Prepared> {
  if ('refused' in plan) return { request, plan, claim: null }
  return { request, plan, claim: await claim(ctx, tenantId, plan.planned) }
}

/** Does what was prepared, or returns what is recorded of it. Never throws for what the other side does. */
export async function runPrepared(
  ctx: DispatcherContext,
  tenantId: string,
  prepared: Prepared,
): Promise<ActionResult> {
  const { request, plan } = prepared
  if ('refused' in plan) {
    await ctx.store.record(logOnly(tenantId, request, plan.refused))
    return plan.refused
  }
  const answer = await settleClaim(ctx, tenantId, plan.planned, prepared.claim)
  switch (answer.state) {
    case 'run':
      return run(ctx, tenantId, plan.planned, answer)
    case 'recorded':
      return replayed(request, answer)
    case 'conflict': {
      const message = 'This event_key was used for another action or payload in this execution.'
      return refuse(ctx, tenantId, request, 'event_key_conflict', message)
    }
    case 'busy':
      return refuse(
        ctx,
        tenantId,
        request,
        'in_progress',
        'An earlier request is still doing this. Ask again later.',
      )
  }
}

async function run(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
  answer: ClaimAnswer,
): Promise<ActionResult> {
  const startedAt = performance.now()
  const outcome = await callAction(ctx, tenantId, answer.id, planned)
  const result = toResult(planned.request, answer.id, outcome, Math.round(performance.now() - startedAt))
  const counted = await ctx.store.record(toRecord(ctx, tenantId, planned, answer.token, result))
  if (counted) return result
  return failed(planned.request, 'in_progress', 'Another request has taken this over. Ask again later.')
}

function claim(
  ctx: DispatcherContext,
  tenantId: string,
  { request, action }: PlannedAction,
): Promise<ClaimAnswer> {
  return ctx.store.claim({
    tenantId,
    id: newId(),
    flowExecutionId: request.flowExecutionId,
    eventKey: request.eventKey,
    actionType: request.actionType,
    pluginId: action.plugin_id,
    fingerprint: fingerprintOf(request),
  })
}

/** Waits while somebody else runs it: then there is a result, or it has been abandoned and is ours. */
async function settleClaim(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
  first: ClaimAnswer | null,
): Promise<ClaimAnswer> {
  const end = performance.now() + BUSY_WAIT_MS
  let answer = first ?? (await claim(ctx, tenantId, planned))
  while (answer.state === 'busy' && performance.now() < end) {
    await delay(BUSY_LOOK_MS)
    answer = await claim(ctx, tenantId, planned)
  }
  return answer
}

function toResult(
  request: ActionRequest,
  id: string,
  { result, attempts }: CallOutcome,
  durationMs: number,
): ActionResult {
  const common = {
    actionType: request.actionType,
    durationMs,
    attempts,
    replayed: false,
    invocationId: id,
    transient: false,
    retryAfterMs: null,
  }
  if (!result.ok) {
    const error = { code: result.code, message: result.message }
    const { transient, retryAfterMs } = result
    return {
      ...common,
      success: false,
      status: 'failed',
      data: null,
      error,
      responseStatus: result.status,
      transient,
      retryAfterMs,
    }
  }
  const status = result.status === 202 ? 'accepted' : 'succeeded'
  return { ...common, success: true, status, data: result.data, error: null, responseStatus: result.status }
}

function replayed(request: ActionRequest, answer: ClaimAnswer): ActionResult {
  const recorded = answer.recorded as RecordedInvocation
  return {
    actionType: request.actionType,
    success: true,
    status: recorded.status === 'accepted' ? 'accepted' : 'succeeded',
    data: recorded.data,
    error: null,
    responseStatus: recorded.response_status,
    durationMs: recorded.duration_ms ?? 0,
    attempts: recorded.attempts,
    replayed: true,
    invocationId: answer.id,
    transient: false,
    retryAfterMs: null,
  }
}

async function refuse(
  ctx: DispatcherContext,
  tenantId: string,
  request: ActionRequest,
  code: string,
  message: string,
): Promise<ActionResult> {
  const result = failed(request, code, message)
  await ctx.store.record(logOnly(tenantId, request, result))
  return result
}

function toRecord(
  ctx: DispatcherContext,
  tenantId: string,
  { request, action }: PlannedAction,
  token: number,
  result: ActionResult,
): ResultRecord {
  return {
    ...logOnly(tenantId, request, result),
    invocationId: result.invocationId,
    token,
    pluginId: action.plugin_id,
    plugin: action.plugin,
    data: result.data === null ? null : JSON.stringify(result.data),
    completeSeconds: result.status === 'accepted' ? ctx.completionSeconds : null,
  }
}

function logOnly(tenantId: string, request: ActionRequest, result: ActionResult): ResultRecord {
  return {
    tenantId,
    invocationId: null,
    token: 0,
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

/** As JSON with secrets redacted, or a note of its size when it is too large for a log. */
function logged(value: unknown): string | null {
  if (value === null) return null
  const text = JSON.stringify(redact(value))
  return text.length <= LOGGED_MAX_CHARS ? text : JSON.stringify({ truncated: true, characters: text.length })
}
