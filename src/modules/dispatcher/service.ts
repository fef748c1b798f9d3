import { setTimeout as delay } from 'node:timers/promises'
import { invalidCursor, invalidRequest } from '../../infra/problems.ts'
import { decodeCursor, page } from '../../lib/cursor.ts'
import { newId } from '../../lib/ids.ts'
import { redact } from '../../lib/redact.ts'
import { readCompletionToken } from './completion-token.ts'
import { invocationNotAccepted, invocationNotFound } from './errors.ts'
import { completeInvocation, findInvocation, findInvocationStatus, listEventLog } from './log-repository.ts'
import { planAction } from './plan.ts'
import { prepareAction, runPrepared } from './run.ts'
import type { CompletionInput, DispatchInput, DispatchResult, EventLogQuery } from './schemas.ts'
import type { ActionRequest, ActionResult, DispatcherContext } from './types.ts'

/** Actions of one dispatch under way at once in parallel mode. */
const PARALLEL_MAX = 10
/** A plugin may complete faster than its own 202 is recorded. */
const COMPLETION_WAIT_MS = 3_000
const COMPLETION_LOOK_MS = 50

/** Does one action, safely repeated by the same (flowExecutionId, eventKey): what flow steps call. */
export async function runAction(
  ctx: DispatcherContext,
  tenantId: string,
  request: ActionRequest,
): Promise<ActionResult> {
  const plan = await planAction(ctx, tenantId, request)
  return runPrepared(ctx, tenantId, await prepareAction(ctx, tenantId, request, plan))
}

/** Does a list of actions: all are checked and claimed before the first one runs; one result for each, in order. */
export async function dispatch(
  ctx: DispatcherContext,
  tenantId: string,
  input: DispatchInput,
): Promise<DispatchResult> {
  const flowExecutionId = input.flow_execution_id ?? newId()
  const requests = toRequests(flowExecutionId, input)
  const plans = await Promise.all(requests.map((request) => planAction(ctx, tenantId, request)))
  const prepared = await Promise.all(
    requests.map((request, index) =>
      prepareAction(ctx, tenantId, request, plans[index] as (typeof plans)[number]),
    ),
  )
  const atOnce = input.mode === 'parallel' ? PARALLEL_MAX : 1
  const results = await inTurn(prepared, atOnce, (one) => runPrepared(ctx, tenantId, one))
  const succeeded = results.filter((result) => result.success).length
  return {
    flow_execution_id: flowExecutionId,
    results: results.map(toAnswer),
    summary: { total: results.length, succeeded, failed: results.length - succeeded },
  }
}

/** What is recorded of an action; null: nothing, or it is still being done. */
export async function findResult(
  ctx: DispatcherContext,
  tenantId: string,
  flowExecutionId: string,
  eventKey: string,
): Promise<ActionResult | null> {
  const row = await findInvocation(ctx.db, tenantId, flowExecutionId, eventKey)
  if (row === undefined || row.status === 'running') return null
  return {
    actionType: row.action_type,
    success: row.status !== 'failed',
    status: row.status,
    data: row.data,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? '' },
    responseStatus: row.response_status,
    durationMs: row.duration_ms ?? 0,
    attempts: row.attempts,
    replayed: true,
    invocationId: row.id,
    transient: false,
    retryAfterMs: null,
  }
}

export async function getEventLog(ctx: DispatcherContext, tenantId: string, query: EventLogQuery) {
  const before = query.cursor === undefined ? [null] : decodeCursor(query.cursor, ['uuid'])
  if (before === null) throw invalidCursor()
  const rows = await listEventLog(ctx.db, {
    tenantId,
    execution: query.execution ?? null,
    action: query.action ?? null,
    success: query.success ?? null,
    since: query.since === undefined ? null : new Date(query.since),
    beforeId: before[0] as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.id])
}

/** Ends an action that its plugin answered with 202. The token is the authorisation. */
export async function complete(
  ctx: DispatcherContext,
  invocationId: string,
  token: string,
  input: CompletionInput,
) {
  const claim = readCompletionToken(ctx.secretBox, token)
  if (claim?.invocationId !== invocationId.toLowerCase()) throw invocationNotFound()
  const end = performance.now() + COMPLETION_WAIT_MS
  let status = await findInvocationStatus(ctx.db, claim.tenantId, claim.invocationId)
  while (status === 'running' && performance.now() < end) {
    await delay(COMPLETION_LOOK_MS)
    status = await findInvocationStatus(ctx.db, claim.tenantId, claim.invocationId)
  }
  if (status === undefined) throw invocationNotFound()
  const error = input.success
    ? null
    : { code: 'reported_failure', message: 'The plugin reported a failure.', ...input.error }
  const counted = await completeInvocation(ctx.db, {
    tenantId: claim.tenantId,
    id: claim.invocationId,
    success: input.success,
    data: input.success && input.data !== undefined ? JSON.stringify(input.data) : null,
    loggedResult: JSON.stringify(redact(error ?? input.data ?? null)),
    errorCode: error?.code ?? null,
    errorMessage: error?.message ?? null,
  })
  if (!counted) throw invocationNotAccepted()
  return {
    invocation_id: claim.invocationId,
    status: input.success ? ('succeeded' as const) : ('failed' as const),
  }
}

function toRequests(flowExecutionId: string, input: DispatchInput): ActionRequest[] {
  const keys = new Set<string>()
  return input.events.map((event, index) => {
    const eventKey = event.event_key ?? `#${index}`
    if (keys.has(eventKey)) {
      const detail = 'is used twice in this request'
      throw invalidRequest(undefined, { errors: [{ pointer: `/events/${index}/event_key`, detail }] })
    }
    keys.add(eventKey)
    return {
      flowExecutionId,
      eventKey,
      actionType: event.action_type,
      pluginRef: event.plugin_id ?? null,
      payload: event.payload,
      timeoutMs: null,
      maxRetries: null,
      causationDepth: 0,
    }
  })
}

function toAnswer(result: ActionResult): DispatchResult['results'][number] {
  return {
    action_type: result.actionType,
    success: result.success,
    status: result.status,
    ...(result.error === null ? { data: result.data } : { error: result.error }),
    response_status: result.responseStatus,
    duration_ms: result.durationMs,
    attempts: result.attempts,
    replayed: result.replayed,
    invocation_id: result.invocationId,
  }
}

/** Results in order, with at most `atOnce` under way; the next one starts when one has ended. */
async function inTurn<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length)
  const entries = items.entries()
  const take = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, take))
  return results
}
