import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import type { Signals } from '#infra/signals.ts'
import { raiseActionsVersion } from '#infra/tenant-versions.ts'
import type { EventService } from '#modules/event/index.ts'
import type { HealthEffect } from './health.ts'
import type { HealthEvent } from './events.ts'
import type { Lane } from '../lanes/lane.ts'
import { disablePlugin, setAnnounced } from './repository.ts'

export interface EffectContext {
  db: Kysely<DB>
  events: EventService
  signals: Signals
}

/**
 * Carries out what a plugin's health asks for, once, however many workers see it: the change is conditional on
 * the state it leaves, and the event that tells of it is in the same transaction.
 */
export async function applyEffect(
  ctx: EffectContext,
  lane: Lane,
  effect: HealthEffect | 'gone',
): Promise<void> {
  const due = await ctx.db.transaction().execute(async (trx) => {
    switch (effect) {
      case 'failing':
        return (await setAnnounced(trx, lane.hold, true)) ? announce(ctx, trx, lane, 'plugin.failing') : []
      case 'recovered':
        return (await setAnnounced(trx, lane.hold, false)) ? announce(ctx, trx, lane, 'plugin.recovered') : []
      case 'disable':
        return disable(ctx, trx, lane, 'failing')
      case 'gone':
        return disable(ctx, trx, lane, 'gone')
    }
  })
  if (effect === 'disable' || effect === 'gone') ctx.signals.publish('plugin_changed', [lane.id])
  if (due.length > 0) ctx.signals.publish('deliveries_due', due)
}

async function disable(
  ctx: EffectContext,
  trx: Transaction<DB>,
  lane: Lane,
  reason: string,
): Promise<string[]> {
  if (!(await disablePlugin(trx, lane.hold, reason))) return []
  // The registry shows which plugins are active.
  await raiseActionsVersion(trx, lane.target.tenantId)
  await audit(trx, SYSTEM_ACTOR, {
    tenantId: lane.target.tenantId,
    action: 'plugin.disabled',
    targetKind: 'plugin',
    targetId: lane.id,
    detail: { reason },
  })
  return announce(ctx, trx, lane, 'plugin.disabled', reason)
}

/** @returns the plugins that the announcement is now due to */
async function announce(
  ctx: EffectContext,
  trx: Transaction<DB>,
  lane: Lane,
  event: HealthEvent,
  reason: string | null = null,
): Promise<string[]> {
  const { health } = lane
  return ctx.events.emitIn(trx, {
    tenantId: lane.target.tenantId,
    event,
    source: 'system',
    exceptPluginId: lane.id,
    data: {
      plugin: lane.target.slug,
      plugin_id: lane.id,
      consecutive_failures: health.consecutiveFailures,
      last_error_class: health.lastErrorClass,
      ...(reason !== null && { reason }),
    },
  })
}
