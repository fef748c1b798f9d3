import { WrittenJson } from '#lib/json/written.ts'
import { readTimeRange, statusesNamed } from '#infra/http/log-filters.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { rateProblem } from '#infra/quotas.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { findInvocation, findLogEntry, listEventLog } from './log/repository.ts'
import { countAction } from './metrics.ts'
import type { Plan } from './dispatch/plan.ts'
import { fromRecorded } from './dispatch/recorded.ts'
import type { HeldResults } from './dispatch/result-memory.ts'
import { leaseOf, prepareAction, recordedOf, runPrepared } from './dispatch/run.ts'
import { callNotFound } from './errors.ts'
import type { DispatchInput, DispatchResult, EventLogDetail, EventLogQuery } from './schemas.ts'
import type { DispatcherContext } from './context.ts'
import type { ActionRequest, ActionResult } from './types.ts'

/** Actions of one dispatch under way at once in parallel mode. */
const PARALLEL_MAX = 10

/** A plugin that dispatches by its own key, and what led to it as far as it is believed. */
export interface DispatchedBy {
  pluginId: string
  /** Null: it named nothing. */
  causation: { id: string | null; depth: number } | null
}

/** Does a list of actions: all are checked and claimed before the first one runs; one result for each, in order. */
export async function dispatch(
  ctx: DispatcherContext,
  actor: Actor,
  tenantId: string,
  input: DispatchInput,
  by?: DispatchedBy,
): Promise<DispatchResult> {
  const waitSeconds = await ctx.quotas.take(tenantId, 'dispatches_per_minute', input.events.length)
  if (waitSeconds !== null) throw rateProblem('dispatches_per_minute', waitSeconds)
  const id = input.flow_execution_id ?? newId()
  // An id is its caller's own: no plugin takes the platform's, nor is told what came of it.
  const flowExecutionId = by === undefined ? id : `plugin:${by.pluginId}:${id}`
  const atOnce = input.mode === 'parallel' ? PARALLEL_MAX : 1
  const requests = toRequests(flowExecutionId, input, actor.id, by)
  ctx.metrics.dispatchSize.observe({ mode: input.mode ?? 'sequential' }, requests.length)
  const noted = ctx.audit(actor, {
    tenantId,
    action: 'actions.dispatched',
    targetKind: 'dispatch',
    targetId: flowExecutionId,
    detail: { actions: requests.length, types: [...new Set(requests.map(({ actionType }) => actionType))] },
  })
  const held = ctx.results.open(tenantId)
  const results = await runAll(ctx, tenantId, requests, { atOnce, noted, held }).finally(() => held.close())
  // Who got an answer will not ask again: not even a crash of the database may forget it.
  if (results.some(({ attempts, replayed }) => attempts > 0 && !replayed)) await ctx.store.makeDurable()
  const succeeded = results.filter((result) => result.success).length
  return {
    flow_execution_id: id,
    results: results.map(toAnswer),
    summary: { total: results.length, succeeded, failed: results.length - succeeded },
  }
}

async function runAll(
  ctx: DispatcherContext,
  tenantId: string,
  requests: readonly ActionRequest[],
  { atOnce, noted, held }: { atOnce: number; noted: Promise<void>; held: HeldResults },
): Promise<ActionResult[]> {
  // Whoever fails before it is looked at has told why.
  noted.catch(() => undefined)
  const plans = await ctx.planner.plan(tenantId, requests)
  const settled = await Promise.allSettled(
    requests.map((request, index) => prepareAction(ctx, tenantId, request, plans[index] as Plan)),
  )
  const prepared = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  try {
    const failure = settled.find((each) => each.status === 'rejected')
    if (failure !== undefined) throw failure.reason
    for (const { actionType, recorded } of prepared.flatMap(recordedOf)) {
      held.hold(fromRecorded(actionType, recorded))
    }
    // Nothing is done before the audit log tells of it. Of a dispatch that was not answered, a crash of the database may
    // have the log forget that.
    await noted
    return await inTurn(prepared, atOnce, async (one, index) => {
      const result = await runPrepared(ctx, tenantId, one, atOnce === 1 ? prepared[index + 1] : undefined)
      countAction(ctx.metrics, plans[index], result)
      // What was recorded before is counted already.
      if (recordedOf(one).length === 0) held.hold(result)
      return result
    })
  } finally {
    // What was not come to is nobody's: the next request may do it at once.
    await ctx.store.release(prepared.map(leaseOf).filter((lease) => lease !== null))
  }
}

/** Returns the recorded result of an action; null: there is none, or it is still being done. */
export async function findResult(
  ctx: DispatcherContext,
  tenantId: string,
  flowExecutionId: string,
  eventKey: string,
): Promise<ActionResult | null> {
  const row = await findInvocation(ctx.db, tenantId, { flowExecutionId, eventKey })
  return row === undefined || row.status === 'running' ? null : fromRecorded(row.action_type, row)
}

export async function getEventLog(ctx: DispatcherContext, tenantId: string, query: EventLogQuery) {
  const before = query.cursor === undefined ? [null] : decodeCursor(query.cursor, ['uuid'])
  if (before === null) throw invalidCursor()
  const rows = await listEventLog(ctx.db, {
    tenantId,
    execution: query.execution ?? null,
    action: query.action ?? null,
    plugin: query.plugin ?? null,
    success: query.success ?? null,
    ...readTimeRange(query),
    errorCode: query.error_code ?? null,
    responseStatuses: query.response_status === undefined ? null : statusesNamed(query.response_status),
    attemptsMin: query.attempts_min ?? null,
    beforeId: before[0] as string | null,
    limit: query.limit + 1,
  })
  return page(rows.map(withWrittenParts), query.limit, (row) => [row.id])
}

/** @throws `call_not_found` */
export async function readLogEntry(
  ctx: DispatcherContext,
  tenantId: string,
  id: string,
): Promise<EventLogDetail> {
  const row = await findLogEntry(ctx.db, tenantId, id)
  if (row === undefined) throw callNotFound()
  const { invocation_status: status, complete_until, finished_at, ...found } = row
  const { execution_id, flow_id, flow_name, event_id, ...entry } = found
  return {
    ...withWrittenParts(entry),
    invocation: status === null ? null : { status, complete_until, finished_at },
    execution:
      execution_id === null || flow_id === null ? null : { id: execution_id, flow_id, flow_name, event_id },
  }
}

function withWrittenParts<T extends { payload: string | null; result: string | null }>(row: T) {
  return {
    ...row,
    payload: row.payload === null ? null : new WrittenJson(row.payload),
    result: row.result === null ? null : new WrittenJson(row.result),
  }
}

/** Counts an action that a plugin asks for one further than what led it to ask; one of a person or the platform is the first. */
function causationOf(by: DispatchedBy | undefined): NonNullable<DispatchedBy['causation']> {
  if (by === undefined) return { id: null, depth: 0 }
  return { id: by.causation?.id ?? null, depth: (by.causation?.depth ?? 0) + 1 }
}

function toRequests(
  flowExecutionId: string,
  input: DispatchInput,
  keyId: string | null,
  by: DispatchedBy | undefined,
): ActionRequest[] {
  const causation = causationOf(by)
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
      causationDepth: causation.depth,
      causationId: causation.id,
      keyId,
      dispatchedBy: by?.pluginId ?? null,
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

/** Results in order, with at most `atOnce` under way; after a failure none is begun, and all have ended. */
async function inTurn<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results = new Array<R>(items.length)
  const entries = items.entries()
  let failed = false
  const take = async (): Promise<void> => {
    for (const [index, item] of entries) {
      if (failed) return
      try {
        results[index] = await work(item, index)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, take))
  const failure = ends.find((end) => end.status === 'rejected')
  if (failure !== undefined) throw failure.reason
  return results
}
