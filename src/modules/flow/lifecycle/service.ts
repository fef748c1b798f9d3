import type { Actor } from '#infra/auth/auth.ts'
import { countMissed, lockCursor, markMissed, type MissedFilter } from '#modules/flow-engine/index.ts'
import {
  cancelLive,
  type CaughtUp,
  changeActive,
  compileToRun,
  putInForce,
  type Runnable,
  takeUpOnActivation,
} from './activation.ts'
import type { FlowContext } from '../context.ts'
import { parseDefinition } from '../definition/definition.ts'
import { flowNotActive } from '../errors.ts'
import { findFlow, type FlowRow, lockFlow, updateFlow } from '../repository.ts'
import { found, type FlowRef, withUnchanged } from './revision.ts'
import { auditFlow } from '../service.ts'
import { countLive, findVersion } from '../versions/repository.ts'
import { type Flow, viewFlow } from '../view.ts'

export interface Published extends Flow {
  running_on_older_versions: number
  cancelled: number
  missed: number
  taken_up: number
}

export interface Activated extends Flow, CaughtUp {}

export interface Deactivated extends Flow {
  running: number
  cancelled: number
}

/**
 * Makes the draft what runs. Executions stay with the version that they started with.
 * @throws `flow_not_found`, `flow_changed`, `flow_invalid`
 */
export async function publishFlow(
  ctx: FlowContext,
  actor: Actor,
  flowRef: FlowRef,
  {
    activate = true,
    cancelRunning = false,
    catchUp,
    note = null,
  }: {
    activate?: boolean
    cancelRunning?: boolean
    catchUp?: boolean | undefined
    note?: string | null
  } = {},
): Promise<Published> {
  const { row, runnable, caughtUp } = await withUnchanged(
    ctx,
    actor,
    flowRef,
    ({ definition }) => compileToRun(ctx, flowRef.tenantId, parseDefinition(definition)),
    (lock, runnable) =>
      changeActive(ctx, flowRef.tenantId, async (trx, now) => {
        const before = await lock(trx)
        const row = await putInForce(ctx, trx, before, runnable, { activate, now, actor, note })
        const caughtUp = await takeUpOnActivation(trx, before, activate ? catchUp : false)
        await auditFlow(trx, actor, row, 'flow.published', {
          version: row.published_version,
          status: row.status,
          cancel_running: cancelRunning,
          taken_up: caughtUp.taken_up,
        })
        return { row, runnable, caughtUp }
      }),
  )
  if (caughtUp.taken_up > 0) ctx.signals.publish('events_stored', [flowRef.tenantId])
  const { published_version: version } = row
  const cancelled = cancelRunning
    ? await cancelLive(ctx, flowRef, { reason: 'version_replaced', exceptVersion: version })
    : 0
  const live = await countLive(ctx.db, flowRef.tenantId, flowRef.id)
  const older = live.filter((each) => each.version !== version).reduce((sum, { count }) => sum + count, 0)
  const flow = await viewFlow(ctx, actor, row, runnable)
  return { ...flow, running_on_older_versions: older, cancelled, ...caughtUp }
}

/**
 * Switches the flow on, with what is published, or else with its draft. What is published is compiled again: what it
 * names may have gone or come anew meanwhile, and then it is published anew.
 *
 * @param catchUp whether what it has missed starts now; left out: what it missed while the service had paused it
 * @throws `flow_not_found`, `flow_changed`, `flow_invalid`
 */
export async function activateFlow(
  ctx: FlowContext,
  actor: Actor,
  flowRef: FlowRef,
  { catchUp }: { catchUp?: boolean | undefined } = {},
): Promise<Activated> {
  const { row, caughtUp } = await withUnchanged(
    ctx,
    actor,
    flowRef,
    (before) => publishedOrDraft(ctx, before),
    (lock, runnable) =>
      changeActive(ctx, flowRef.tenantId, async (trx, now) => {
        const before = await lock(trx)
        const row = await putInForce(ctx, trx, before, runnable, { activate: true, now, actor })
        const caughtUp = await takeUpOnActivation(trx, before, catchUp)
        await auditFlow(trx, actor, row, 'flow.activated', {
          version: row.published_version,
          taken_up: caughtUp.taken_up,
        })
        return { row, caughtUp }
      }),
  )
  if (caughtUp.taken_up > 0) ctx.signals.publish('events_stored', [flowRef.tenantId])
  return { ...(await viewFlow(ctx, actor, row)), ...caughtUp }
}

/**
 * Starts what an active flow has missed while it was paused or off, or the shop halted: each once, in the order in which
 * it came, before anything newer. @throws `flow_not_found`, `flow_not_active`
 */
export async function catchUpFlow(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: Pick<FlowRef, 'tenantId' | 'id'>,
  { since, until, dryRun }: { since: Date | null; until: Date | null; dryRun: boolean },
): Promise<CaughtUp & { remaining: number }> {
  const filter: MissedFilter = {
    tenantId,
    flowId: id,
    reasons: ['paused', 'not_active', 'halted'],
    since,
    until,
  }
  const { status } = found(await findFlow(ctx.db, tenantId, id))
  if (dryRun) {
    const missed = await countMissed(ctx.db, filter)
    return { missed, taken_up: 0, remaining: missed }
  }
  if (status !== 'active') throw flowNotActive()
  const caughtUp = await ctx.db.transaction().execute(async (trx) => {
    await lockCursor(trx, tenantId, 'hold')
    const row = found(await lockFlow(trx, tenantId, id))
    if (row.status !== 'active') throw flowNotActive()
    const taken_up = await markMissed(trx, filter)
    const remaining = await countMissed(trx, filter)
    const detail = { taken_up, since: since?.toISOString() ?? null, until: until?.toISOString() ?? null }
    await auditFlow(trx, actor, row, 'flow.caught_up', detail)
    return { missed: taken_up + remaining, taken_up, remaining }
  })
  ctx.signals.publish('events_stored', [tenantId])
  return caughtUp
}

/** Starts nothing new; what is under way finishes, unless it is to be cancelled. */
export async function deactivateFlow(
  ctx: FlowContext,
  actor: Actor,
  flowRef: FlowRef,
  { cancelRunning = false }: { cancelRunning?: boolean } = {},
): Promise<Deactivated> {
  const row = await withUnchanged(
    ctx,
    actor,
    flowRef,
    () => Promise.resolve(null),
    (lock) =>
      changeActive(ctx, flowRef.tenantId, async (trx, now) => {
        const before = await lock(trx)
        await ctx.triggers.sync(trx, flowRef.tenantId, flowRef.id, [], now)
        const isUnpublished = before.published_version === null && before.status !== 'paused'
        const status = isUnpublished ? before.status : 'inactive'
        const after = await updateFlow(trx, before, {
          status,
          status_reason: null,
          ...(status === 'inactive' && { off_since: before.off_since ?? now }),
        })
        await auditFlow(trx, actor, after, 'flow.deactivated', { cancel_running: cancelRunning })
        return after
      }),
  )
  const cancelled = cancelRunning ? await cancelLive(ctx, flowRef, { reason: 'flow_deactivated' }) : 0
  const live = await countLive(ctx.db, flowRef.tenantId, flowRef.id)
  const running = live.reduce((sum, { count }) => sum + count, 0)
  return { ...(await viewFlow(ctx, actor, row)), running, cancelled }
}

async function publishedOrDraft(ctx: FlowContext, row: FlowRow): Promise<Runnable> {
  const { tenant_id: tenantId, id, published_version: version } = row
  const published = version === null ? undefined : await findVersion(ctx.db, tenantId, id, version)
  return compileToRun(ctx, tenantId, parseDefinition(published?.definition ?? row.definition))
}
