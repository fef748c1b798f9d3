import type { PluginStatus } from '#db/schema.ts'
import { type Actor, forbidden } from '#infra/auth/auth.ts'
import { raiseActionsVersion } from '#infra/tenant-versions.ts'
import type { Plugin } from '../answer-schemas.ts'
import { announceChange, found, type PluginContext, transact } from '../context.ts'
import { giveUpWaiting, resetLane } from './lane-repository.ts'
import { auditPlugin } from '../plugin-audit.ts'
import { findPlugin, lockPlugin, type StatusColumns, updatePlugin } from '../repository.ts'
import type { PluginPatch, Resumption } from '../schemas.ts'
import { isSlug } from '../slug.ts'
import { viewOnePlugin } from '../view.ts'

/** The status that a caller means: `inactive` is what the platform says for paused. */
export function statusOf(wanted: NonNullable<PluginPatch['status']>): PluginStatus {
  return wanted === 'inactive' ? 'paused' : wanted
}

/** The columns of a status that a person chose. */
export function chosenStatus(status: PluginStatus): StatusColumns {
  return { status, status_reason: status === 'active' ? null : 'manual' }
}

/** Stands for a pause by the plugin's own key, which may end it: what people have paused it may not. */
export const PAUSED_BY_ITSELF = 'own_key'

/**
 * Holds the plugin's deliveries: they wait, and new ones join them. A pause by a person goes before one by the plugin's own
 * key, which cannot end it then.
 */
export async function pausePlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<Plugin> {
  const plugin = await transact(ctx, async (trx) => {
    const row = found(isSlug(slug) ? await lockPlugin(trx, tenantId, slug) : undefined, actor)
    const isOwn = actor.pluginId !== null
    const isManual = row.status_reason === 'manual'
    // What people have paused or disabled its own key leaves so; what it has paused itself people take over.
    const stands = row.status === 'paused' ? isOwn || isManual : isOwn && row.status !== 'active' && isManual
    if (!stands) {
      const reason = actor.pluginId === null ? {} : { status_reason: PAUSED_BY_ITSELF }
      await updatePlugin(trx, tenantId, row.id, { ...chosenStatus('paused'), ...reason })
      await raiseActionsVersion(trx, tenantId)
      await auditPlugin(trx, actor, 'plugin.paused', row, { from: row.status })
    }
    return viewOnePlugin(ctx, trx, actor, found(await findPlugin(trx, tenantId, slug), actor))
  })
  announceChange(ctx, tenantId, plugin.id)
  return plugin
}

/**
 * Lets deliveries go out, from a clean slate: failures, breaker and hold are forgotten. That is worth asking for
 * while the plugin is active, too.
 */
export async function resumePlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  { backlog = 'deliver' }: Resumption,
): Promise<Plugin> {
  const plugin = await transact(ctx, async (trx) => {
    const row = found(isSlug(slug) ? await lockPlugin(trx, tenantId, slug) : undefined, actor)
    if (actor.pluginId !== null && row.status !== 'active' && row.status_reason === 'manual') {
      throw forbidden('The shop has paused or disabled the plugin: a key of the shop resumes it.')
    }
    await updatePlugin(trx, tenantId, row.id, chosenStatus('active'))
    await resetLane(trx, tenantId, row.id)
    if (backlog === 'skip') await giveUpWaiting(trx, tenantId, row.id, 'skipped')
    if (row.status !== 'active') await raiseActionsVersion(trx, tenantId)
    await auditPlugin(trx, actor, 'plugin.resumed', row, { from: row.status, backlog })
    return viewOnePlugin(ctx, trx, actor, found(await findPlugin(trx, tenantId, slug), actor))
  })
  announceChange(ctx, tenantId, plugin.id)
  ctx.signals.publish('deliveries_due', [plugin.id])
  return plugin
}
