import { setTimeout as delay } from 'node:timers/promises'
import { newId } from '#lib/ids.ts'
import { callAction, type CallOutcome, lookAhead } from './call.ts'
import type { ClaimAnswer, Lease, RecordedInvocation } from './claim-repository.ts'
import { resultCode } from '../errors.ts'
import { logOnly, toRecord } from '../log/entry.ts'
import { findInvocation } from '../log/repository.ts'
import { failed, fingerprintOf, type Plan } from './plan.ts'
import { fromRecorded } from './recorded.ts'
import { patiently } from './invocation-store.ts'
import type { ResultRecord } from './result-repository.ts'
import type { DispatcherContext } from '../context.ts'
import type { ActionRequest, ActionResult, PlannedAction } from '../types.ts'

/** A repeated request waits so long for the run that is under way elsewhere. */
const BUSY_WAIT_MS = 30_000
const BUSY_LOOK_MS = 200
/** A call may wait so long for its plugin's limits: as long as a plugin has for its answer by default. */
const TURN_MS = 10_000

/** An action on its way: claimed before anything of its dispatch runs, so that nothing runs twice. */
export type Prepared =
  | { request: ActionRequest; refused: ActionResult }
  | { request: ActionRequest; recorded: RecordedInvocation }
  | { request: ActionRequest; planned: PlannedAction; claim: ClaimAnswer }

type Claimed = Extract<ClaimAnswer, { state: 'run' }>

export async function prepareAction(
  ctx: DispatcherContext,
  tenantId: string,
  request: ActionRequest,
  plan: Plan,
): Promise<Prepared> {
  if ('planned' in plan) {
    const { planned } = plan
    return { request, planned, claim: await claim(ctx, tenantId, planned) }
  }
  // What succeeded stays so, whatever became of the plugin or the action's schema since.
  const row = await findInvocation(ctx.db, tenantId, request)
  const done = row?.status === 'succeeded' || row?.status === 'accepted'
  if (done && row.fingerprint.equals(fingerprintOf(request))) return { request, recorded: row }
  return { request, refused: plan.refused }
}

/** Returns what is recorded of it, which is in memory from now on. */
export function recordedOf(prepared: Prepared): { actionType: string; recorded: RecordedInvocation }[] {
  const { actionType } = prepared.request
  if ('recorded' in prepared) return [{ actionType, recorded: prepared.recorded }]
  if (!('claim' in prepared) || prepared.claim.state !== 'recorded') return []
  return [{ actionType, recorded: prepared.claim.recorded }]
}

/** Returns the lease by which this process runs it; null: it does not. */
export function leaseOf(prepared: Prepared): Lease | null {
  return 'claim' in prepared && prepared.claim.state === 'run' ? prepared.claim.lease : null
}

/**
 * Does what was prepared, or returns what is recorded of it. Never throws for what the other side does.
 *
 * @param next what follows as soon as this is recorded
 */
export async function runPrepared(
  ctx: DispatcherContext,
  tenantId: string,
  prepared: Prepared,
  next: Prepared | undefined,
): Promise<ActionResult> {
  const { request } = prepared
  if ('recorded' in prepared) return fromRecorded(request.actionType, prepared.recorded)
  if ('refused' in prepared) return refuse(ctx, tenantId, request, prepared.refused)
  const { planned } = prepared
  const answer = await settleClaim(ctx, tenantId, planned, prepared.claim)
  switch (answer.state) {
    case 'run':
      return runInTurn(ctx, planned, answer, next)
    case 'recorded':
      return fromRecorded(request.actionType, answer.recorded)
    case 'conflict': {
      const message = 'This event_key was used for another action or payload in this execution.'
      return refuse(ctx, tenantId, request, failed(request, 'event_key_conflict', message))
    }
    case 'busy': {
      const message = 'An earlier request is still doing this. Ask again later.'
      return refuse(ctx, tenantId, request, { ...failed(request, 'in_progress', message), transient: true })
    }
  }
}

/** Waits for one of the tenant's places, no longer than it would for a plugin. */
async function runInTurn(
  ctx: DispatcherContext,
  planned: PlannedAction,
  claimed: Claimed,
  next: Prepared | undefined,
): Promise<ActionResult> {
  const { request, action } = planned
  const { tenantId } = claimed.lease
  const entered = ctx.places.enter({ tenantId, pluginId: action.plugin_id, by: request.dispatchedBy ?? null })
  // What was looked up ahead of it is old when it has waited.
  if (entered instanceof Promise) planned.target = null
  const leave = await entered
  if (leave === null) {
    const message = 'The shop has as many calls under way as its share allows: send the request again.'
    return giveBack(ctx, claimed.lease, request, { code: 'overloaded', message })
  }
  try {
    if (ctx.isStopping()) {
      const message = 'The service is shutting down: send the request again.'
      return await giveBack(ctx, claimed.lease, request, { code: 'interrupted', message })
    }
    if (!ctx.results.hasRoom(tenantId)) {
      const message =
        "Results of the shop's dispatches that are under way take its share of memory: send the request again."
      return await giveBack(ctx, claimed.lease, request, { code: 'overloaded', message })
    }
    if (await ctx.store.isHeld(claimed.lease)) return await run(ctx, planned, claimed, next)
    // The process was frozen while it waited.
    return await endedElsewhere(ctx, planned, claimed.lease, { attempts: 0, durationMs: 0 })
  } finally {
    leave()
  }
}

/** Nothing of it was done: whoever sends the request again may run it. */
async function giveBack(
  ctx: DispatcherContext,
  lease: Lease,
  request: ActionRequest,
  { code, message }: { code: string; message: string },
): Promise<ActionResult> {
  await ctx.store.release([lease])
  return refuse(ctx, lease.tenantId, request, { ...failed(request, code, message), transient: true })
}

async function run(
  ctx: DispatcherContext,
  planned: PlannedAction,
  { lease, claimedAt }: Claimed,
  next: Prepared | undefined,
): Promise<ActionResult> {
  const startedAt = performance.now()
  const { tenantId, id: invocationId } = lease
  const outcome = await callAction(
    ctx,
    { tenantId, invocationId, claimedAt, lease, turnMs: TURN_MS },
    planned,
  )
  const { result: called } = outcome
  if (outcome.attempts === 0 && !called.ok) return giveBack(ctx, lease, planned.request, called)
  const result = toResult(planned, lease.id, outcome, Math.round(performance.now() - startedAt))
  const record = toRecord(lease.tenantId, planned, lease, result, ctx.completionSeconds)
  if (next !== undefined && 'planned' in next) lookAhead(ctx, lease.tenantId, next.planned)
  const recorded = { ...result, dataChars: record.data?.length ?? 0 }
  if (await ctx.store.record(record)) return recorded
  if (await recordForgotten(ctx, planned, lease, record)) return recorded
  return endedElsewhere(ctx, planned, lease, result)
}

/**
 * A crash of the database server forgets the commits of its last half second, and with them that this action was begun.
 * What came of it is recorded under the same id: nobody does it again, and who was told that id finds it.
 * @returns false if something is known of the action
 */
async function recordForgotten(
  ctx: DispatcherContext,
  planned: PlannedAction,
  { tenantId, id }: Lease,
  record: ResultRecord,
): Promise<boolean> {
  if ((await patiently(() => findInvocation(ctx.db, tenantId, planned.request))) !== undefined) return false
  const answer = await patiently(() => claim(ctx, tenantId, planned, id))
  const lease = answer.state === 'run' ? answer.lease : await ownClaim(ctx, tenantId, planned, id)
  if (lease === null) return false
  if (lease.id === id) return ctx.store.record({ ...record, lease })
  // Somebody else began it a moment ago and has failed: it stays theirs.
  await ctx.store.release([lease])
  return false
}

/** Finds the lease of a claim that was written, and whose answer was lost. */
async function ownClaim(
  ctx: DispatcherContext,
  tenantId: string,
  { request }: PlannedAction,
  id: string,
): Promise<Lease | null> {
  const row = await patiently(() => findInvocation(ctx.db, tenantId, request))
  return row?.id === id && row.status === 'running' ? { tenantId, id, token: row.lease_token } : null
}

/** The row was no longer ours: the plugin has completed the action before it answered, or another request took it. */
async function endedElsewhere(
  ctx: DispatcherContext,
  planned: PlannedAction,
  { tenantId, id, token }: Lease,
  { attempts, durationMs }: Pick<ActionResult, 'attempts' | 'durationMs'>,
): Promise<ActionResult> {
  const { request } = planned
  const row = await findInvocation(ctx.db, tenantId, request)
  if (row?.lease_token === token && (row.status === 'succeeded' || row.status === 'failed')) {
    const result = { ...fromRecorded(request.actionType, row), attempts, durationMs, replayed: false }
    await ctx.store.record(toRecord(tenantId, planned, null, result, ctx.completionSeconds))
    return result
  }
  const message = 'Another request has taken this over. Ask again later.'
  const result = { ...failed(request, 'in_progress', message), attempts, durationMs, invocationId: id }
  await ctx.store.record(toRecord(tenantId, planned, null, result, ctx.completionSeconds))
  return { ...result, transient: true }
}

function claim(
  ctx: DispatcherContext,
  tenantId: string,
  { request, action }: PlannedAction,
  id: string = newId(),
): Promise<ClaimAnswer> {
  return ctx.store.claim({
    tenantId,
    id,
    flowExecutionId: request.flowExecutionId,
    eventKey: request.eventKey,
    actionType: request.actionType,
    pluginId: action.plugin_id,
    fingerprint: fingerprintOf(request),
    keyId: request.keyId ?? null,
  })
}

/** Waits while somebody else runs it: then there is a result, or it has been abandoned and is ours. */
async function settleClaim(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
  first: ClaimAnswer,
): Promise<ClaimAnswer> {
  const end = performance.now() + BUSY_WAIT_MS
  let answer = first
  // A frozen process that wakes up may have lost what it had claimed.
  if (answer.state === 'run' && !(await ctx.store.isHeld(answer.lease))) answer = { state: 'busy' }
  // Others of this dispatch ran in the meantime, so that the first answer is old: ask again before waiting.
  if (answer.state === 'busy') answer = await claim(ctx, tenantId, planned)
  while (answer.state === 'busy' && performance.now() < end && !ctx.isStopping()) {
    planned.target = null
    await delay(BUSY_LOOK_MS)
    answer = await claim(ctx, tenantId, planned)
  }
  return answer
}

export function toResult(
  { request, action }: PlannedAction,
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
    responseStatus: result.status,
  }
  if (!result.ok) {
    const { message, transient, retryAfterMs } = result
    const error = { code: resultCode(result, action.source), message }
    return { ...common, success: false, status: 'failed', data: null, error, transient, retryAfterMs }
  }
  // Only plugins have a token to complete it with.
  const status = result.status === 202 && action.source === 'plugin' ? 'accepted' : 'succeeded'
  const { data } = result
  return { ...common, success: true, status, data, error: null, transient: false, retryAfterMs: null }
}

async function refuse(
  ctx: DispatcherContext,
  tenantId: string,
  request: ActionRequest,
  result: ActionResult,
): Promise<ActionResult> {
  await ctx.store.record(logOnly(tenantId, request, result))
  return result
}
