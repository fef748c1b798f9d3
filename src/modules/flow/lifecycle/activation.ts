import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { announceFirstFlow, raiseFlowsVersion } from '#infra/tenant-versions.ts'
import { now } from '#lib/clock.ts'
import type { CanonicalFlow, FlowProblem } from '#lib/flow/index.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import {
  countMissed,
  ensureCursor,
  lockCursor,
  markMissed,
  type MissedFilter,
} from '#modules/flow-engine/index.ts'
import { compile, isSameVersion, versionText } from '../definition/compile.ts'
import type { FlowContext } from '../context.ts'
import type { Definition } from '../definition/definition.ts'
import { invalidFlow } from '../errors.ts'
import { type FlowRow, updateFlow } from '../repository.ts'
import { findVersion, insertVersion, selectLive } from '../versions/repository.ts'

/** A definition that may run. */
export interface Runnable {
  definition: Definition
  flow: CanonicalFlow
  problems: FlowProblem[]
}

/** @throws `flow_invalid` */
export async function compileToRun(
  ctx: FlowContext,
  tenantId: string,
  definition: Definition,
): Promise<Runnable> {
  const { flow, problems } = await compile(ctx, tenantId, definition.value)
  if (flow === null) throw invalidFlow(problems)
  return { definition, flow, problems }
}

/**
 * Runs a change of what is active. Meanwhile no matcher is half way through the tenant's events, and the next one
 * reads what is active anew: once the change is committed, no event starts anything by what was before. The lock on
 * the cursor comes before the flow's, as it does for matchers.
 */
export async function changeActive<T>(
  ctx: FlowContext,
  tenantId: string,
  work: (trx: Transaction<DB>, now: Date) => Promise<T>,
): Promise<T> {
  return ctx.db.transaction().execute(async (trx) => {
    await announceFirstFlow(trx, tenantId)
    await ensureCursor(trx, tenantId)
    const cursor = await lockCursor(trx, tenantId, 'hold')
    const result = await work(trx, cursor?.now ?? new Date(now()))
    await raiseFlowsVersion(trx, tenantId)
    return result
  })
}

/**
 * Makes the flow run what is given, as a new version unless that is what runs already.
 * @param options `activate` false: a flow that is switched off stays so; `note`: what the new version is about
 */
export async function putInForce(
  ctx: FlowContext,
  trx: Transaction<DB>,
  row: FlowRow,
  { definition, flow }: Runnable,
  { activate, now, actor, note = null }: { activate: boolean; now: Date; actor: Actor; note?: string | null },
): Promise<FlowRow> {
  const isActive = activate || row.status === 'active'
  const version = await versionOf(trx, row, { definition, flow, actor, note })
  if (isActive) await ctx.triggers.sync(trx, row.tenant_id, row.id, flow.triggers, now)
  const updated = await updateFlow(trx, row, {
    published_version: version,
    ...(!isActive && row.status === 'draft' && { status: 'inactive' }),
    ...(activate && { status: 'active', status_reason: null, off_since: null, consecutive_failures: 0 }),
  })
  if (isActive && version !== row.published_version) {
    await enforceQuotas(trx, row.tenant_id, ['active_flow_bytes'])
  }
  if (isActive && row.status !== 'active') {
    await enforceQuotas(trx, row.tenant_id, ['active_flows', 'active_flow_bytes'])
  }
  return updated
}

/** Returns the version's number, and stores it unless it is the published one; what an older form had is stored anew. */
async function versionOf(
  trx: Transaction<DB>,
  row: FlowRow,
  { definition, flow, actor, note }: Omit<Runnable, 'problems'> & { actor: Actor; note: string | null },
): Promise<number> {
  const { tenant_id, id, published_version: current } = row
  const published = current === null ? undefined : await findVersion(trx, tenant_id, id, current)
  if (published !== undefined && isSameVersion(flow, published.flow)) return published.version
  return insertVersion(trx, row, { definition: definition.text, flow: versionText(flow), actor, note })
}

const CANCEL_BATCH = 1_000

/**
 * Cancels what the flow has under way, in batches of their own: one transaction over a million rows would hold up
 * whoever wakes them.
 *
 * @param exceptVersion executions of this version go on
 * @returns how many it concerned
 */
export async function cancelLive(
  ctx: FlowContext,
  { tenantId, id }: { tenantId: string; id: string },
  { reason, exceptVersion = null }: { reason: string; exceptVersion?: number | null },
): Promise<number> {
  let cancelled = 0
  for (let after: string | null = null; ;) {
    const ids: string[] = await selectLive(ctx.db, tenantId, id, {
      exceptVersion,
      after,
      limit: CANCEL_BATCH,
    })
    after = ids.at(-1) ?? null
    if (after === null) return cancelled
    cancelled += await ctx.engine.cancel(tenantId, ids, reason)
  }
}

/** Counts of starts that were missed, by what became of them. */
export interface CaughtUp {
  /** Number of them. */
  missed: number
  /** Number of those that will start, before anything newer does. */
  taken_up: number
}

/**
 * Takes up what a flow that was off has missed. Left to itself only what a pause by the service has kept away, which
 * nobody wanted: what was switched off may have been so for months, and what triggers itself would do so again.
 *
 * @param before the flow as it was
 */
export async function takeUpOnActivation(
  trx: Transaction<DB>,
  before: FlowRow,
  catchUp: boolean | undefined,
): Promise<CaughtUp> {
  const { tenant_id: tenantId, id: flowId, status, status_reason, off_since: since } = before
  if (since === null || (status !== 'paused' && status !== 'inactive')) return { missed: 0, taken_up: 0 }
  const filter: MissedFilter = {
    tenantId,
    flowId,
    reasons: ['paused', 'not_active'],
    since,
    until: null,
  }
  const isWanted = catchUp ?? (status === 'paused' && status_reason === 'failing')
  const missed = await countMissed(trx, filter)
  return { missed, taken_up: isWanted ? await markMissed(trx, filter) : 0 }
}
