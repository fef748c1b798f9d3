import { now } from '#lib/clock.ts'
import { derivedId, newId } from '#lib/ids.ts'
import { acceptInvocation } from './completion/accept-repository.ts'
import { callAction, PLUGIN_BUSY } from './dispatch/call.ts'
import type { RecordedInvocation } from './dispatch/claim-repository.ts'
import { patiently } from './dispatch/invocation-store.ts'
import { logOnly, toRecord } from './log/entry.ts'
import { findInvocation } from './log/repository.ts'
import { countAction } from './metrics.ts'
import { fingerprintOf, type Plan } from './dispatch/plan.ts'
import { fromRecorded } from './dispatch/recorded.ts'
import { toResult } from './dispatch/run.ts'
import type { DispatcherContext } from './context.ts'
import type { ActionResult, PlannedAction, StepActionRequest } from './types.ts'

/** A call may wait so long for its plugin's limits here. After that it waits as a row, and others have its execution's place. */
const TURN_MS = 2_000

/**
 * Does the action of a flow's step. Its caller holds the execution under a lease and writes itself how the step ended,
 * so that the action is not claimed here, and only what the plugin accepts for later has a row: the log is the one
 * thing that is always written. Its id comes from its name: whatever is repeated, signatures and completion tokens are
 * those of one invocation.
 *
 * Claiming and recording it like an action of a dispatch costs two more rows: 61 µs of CPU in Postgres and about as
 * many here for an execution of two actions (pg_stat_statements under `npm run bench -- --only flow-throughput`).
 */
export async function runStepAction(
  ctx: DispatcherContext,
  tenantId: string,
  request: StepActionRequest,
): Promise<ActionResult> {
  const [plan] = await ctx.planner.plan(tenantId, [request])
  const result = await runPlanned(ctx, tenantId, request, plan)
  if (!isPluginBusy(result)) countAction(ctx.metrics, plan, result)
  return result
}

/** Tells an action that was not called, as its plugin takes no more for now. */
export function isPluginBusy({ attempts, replayed, error }: ActionResult): boolean {
  return attempts === 0 && !replayed && error?.code === PLUGIN_BUSY
}

async function runPlanned(
  ctx: DispatcherContext,
  tenantId: string,
  request: StepActionRequest,
  plan: Plan | undefined,
): Promise<ActionResult> {
  if (request.mayHaveRun) {
    const row = await findInvocation(ctx.db, tenantId, request)
    if (row !== undefined && row.status !== 'running') return takeUp(ctx, tenantId, request, row, plan)
  }
  if (plan === undefined || 'refused' in plan) {
    const refused = plan?.refused as ActionResult
    await ctx.store.record(logOnly(tenantId, request, refused))
    return refused
  }
  const { planned } = plan
  const id = derivedId(`${tenantId} ${planned.idempotencyKey}`, request.flowExecutionId)
  const startedAt = performance.now()
  const outcome = await callAction(
    ctx,
    { tenantId, invocationId: id, claimedAt: Math.floor(now()) * 1_000, lease: null, turnMs: TURN_MS },
    planned,
  )
  const result = toResult(planned, id, outcome, Math.round(performance.now() - startedAt))
  // The execution comes again for its turn, and nothing has happened that the log should tell.
  if (outcome.attempts === 0) return result
  if (result.status === 'accepted') return accept(ctx, tenantId, planned, result)
  const told = result.success ? null : await findTold(ctx, tenantId, planned, result)
  if (told !== null) return told
  await ctx.store.record(toRecord(tenantId, planned, null, result, ctx.completionSeconds))
  return result
}

/** Takes up what the plugin has said of it, a failure, too: it would not say it again under the same Idempotency-Key. */
async function takeUp(
  ctx: DispatcherContext,
  tenantId: string,
  request: StepActionRequest,
  row: RecordedInvocation,
  plan: Plan | undefined,
): Promise<ActionResult> {
  const result = fromRecorded(request.actionType, row)
  if (row.response_status !== null) return result
  // It was completed before its call was answered, and nobody was left to log that.
  const record =
    plan !== undefined && 'planned' in plan
      ? toRecord(tenantId, plan.planned, null, result, 0)
      : logOnly(tenantId, request, result)
  await ctx.store.record(record)
  return result
}

/** Writes down that the plugin has accepted it. One that is faster than its own 202 has completed it already: that counts. */
async function accept(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
  result: ActionResult,
): Promise<ActionResult> {
  const { request } = planned
  const record = toRecord(tenantId, planned, null, result, ctx.completionSeconds)
  const fingerprint = fingerprintOf(request)
  if (await patiently(() => acceptInvocation(ctx.db, record, fingerprint))) return result
  return (await findTold(ctx, tenantId, planned, result)) ?? result
}

/** Returns what the plugin has told of it while it was being called, whatever the call came to. Null: nothing. */
async function findTold(
  ctx: DispatcherContext,
  tenantId: string,
  planned: PlannedAction,
  { attempts, durationMs }: ActionResult,
): Promise<ActionResult | null> {
  const { request } = planned
  const row = await patiently(() => findInvocation(ctx.db, tenantId, request))
  if (row === undefined || row.status === 'running') return null
  const told = { ...fromRecorded(request.actionType, row), attempts, durationMs, replayed: false }
  await ctx.store.record({ ...toRecord(tenantId, planned, null, told, 0), logId: newId() })
  return told
}
