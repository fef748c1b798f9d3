import type { Actor } from '#infra/auth/auth.ts'
import { cancelLive, changeActive, compileToRun, putInForce, type Runnable } from './activation.ts'
import type { FlowContext } from '../context.ts'
import { parseDefinition } from '../definition/definition.ts'
import { type FlowRow, updateFlow } from '../repository.ts'
import { type Target, withUnchanged } from './revision.ts'
import { auditFlow } from '../service.ts'
import { countLive, findVersion } from '../versions/repository.ts'
import { type Flow, viewFlow } from '../view.ts'

export interface Published extends Flow {
  running_on_older_versions: number
  cancelled: number
}

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
  target: Target,
  { activate = true, cancelRunning = false }: { activate?: boolean; cancelRunning?: boolean } = {},
): Promise<Published> {
  const { row, runnable } = await withUnchanged(
    ctx,
    actor,
    target,
    ({ definition }) => compileToRun(ctx, target.tenantId, parseDefinition(definition)),
    (lock, runnable) =>
      changeActive(ctx, target.tenantId, async (trx, now) => {
        const row = await putInForce(ctx, trx, await lock(trx), runnable, { activate, now })
        await auditFlow(trx, actor, row, 'flow.published', {
          version: row.published_version,
          status: row.status,
          cancel_running: cancelRunning,
        })
        return { row, runnable }
      }),
  )
  const { published_version: version } = row
  const cancelled = cancelRunning
    ? await cancelLive(ctx, target, { reason: 'version_replaced', exceptVersion: version })
    : 0
  const live = await countLive(ctx.db, target.tenantId, target.id)
  const older = live.filter((each) => each.version !== version).reduce((sum, { count }) => sum + count, 0)
  return { ...(await viewFlow(ctx, actor, row, runnable)), running_on_older_versions: older, cancelled }
}

/**
 * Switches the flow on, with what is published, or else with its draft. What is published is compiled again: what it
 * names may have gone or come anew meanwhile, and then it is published anew.
 * @throws `flow_not_found`, `flow_changed`, `flow_invalid`
 */
export async function activateFlow(ctx: FlowContext, actor: Actor, target: Target): Promise<Flow> {
  const row = await withUnchanged(
    ctx,
    actor,
    target,
    (before) => publishedOrDraft(ctx, before),
    (lock, runnable) =>
      changeActive(ctx, target.tenantId, async (trx, now) => {
        const after = await putInForce(ctx, trx, await lock(trx), runnable, { activate: true, now })
        await auditFlow(trx, actor, after, 'flow.activated', { version: after.published_version })
        return after
      }),
  )
  return viewFlow(ctx, actor, row)
}

/** Starts nothing new; what is under way finishes, unless it is to be cancelled. */
export async function deactivateFlow(
  ctx: FlowContext,
  actor: Actor,
  target: Target,
  { cancelRunning = false }: { cancelRunning?: boolean } = {},
): Promise<Deactivated> {
  const row = await withUnchanged(
    ctx,
    actor,
    target,
    () => Promise.resolve(null),
    (lock) =>
      changeActive(ctx, target.tenantId, async (trx, now) => {
        const before = await lock(trx)
        await ctx.triggers.sync(trx, target.tenantId, target.id, [], now)
        const status = before.published_version === null ? before.status : 'inactive'
        const after = await updateFlow(trx, before, { status, status_reason: null })
        await auditFlow(trx, actor, after, 'flow.deactivated', { cancel_running: cancelRunning })
        return after
      }),
  )
  const cancelled = cancelRunning ? await cancelLive(ctx, target, { reason: 'flow_deactivated' }) : 0
  const live = await countLive(ctx.db, target.tenantId, target.id)
  const running = live.reduce((sum, { count }) => sum + count, 0)
  return { ...(await viewFlow(ctx, actor, row)), running, cancelled }
}

async function publishedOrDraft(ctx: FlowContext, row: FlowRow): Promise<Runnable> {
  const { tenant_id: tenantId, id, published_version: version } = row
  const published = version === null ? undefined : await findVersion(ctx.db, tenantId, id, version)
  return compileToRun(ctx, tenantId, parseDefinition(published?.definition ?? row.definition))
}
