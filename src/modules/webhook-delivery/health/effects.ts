import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import type { Changes } from '#infra/changes.ts'
import type { Signals } from '#infra/signals.ts'
import { raiseActionsVersion } from '#infra/tenant-versions.ts'
import { ALERTS_PER_HOUR, type EventService } from '#modules/event/index.ts'
import type { HealthEffect } from './health.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Outcome } from '../outcomes/repository.ts'
import { type PluginAlert, pluginAlert } from './alerts.ts'
import { disablePlugin, readFailingSince, setAnnounced, setWarned } from './repository.ts'

export interface EffectContext {
  db: Kysely<DB>
  events: EventService
  signals: Signals
  changes: Pick<Changes, 'tell'>
  disableAfterMs: number
}

/**
 * Carries out what a plugin's health asks for, once, however many workers see it: the change is conditional on
 * the state it leaves, and the event that tells of it is in the same transaction.
 */
export async function applyEffect(
  ctx: EffectContext,
  lane: Lane,
  effect: HealthEffect | 'gone',
  cause: Outcome,
): Promise<void> {
  const due = await ctx.db.transaction().execute(async (trx) => {
    const tell = async (event: PluginAlert, failingSince: Date | null | undefined): Promise<string[]> =>
      failingSince === undefined ? [] : announce(ctx, trx, lane, { event, failingSince, cause, reason: null })
    switch (effect) {
      case 'failing':
        return tell('plugin.failing', await setAnnounced(trx, lane.hold, true))
      case 'disabling_soon':
        return tell('plugin.disabling_soon', await setWarned(trx, lane.hold))
      case 'recovered':
        return tell('plugin.recovered', await setAnnounced(trx, lane.hold, false))
      case 'disable':
        return disable(ctx, trx, lane, 'failing', cause)
      case 'gone':
        return disable(ctx, trx, lane, 'gone', cause)
    }
  })
  if (effect === 'disable' || effect === 'gone') ctx.signals.publish('plugin_changed', [lane.id])
  ctx.changes.tell(lane.hold.tenantId, 'plugins')
  ctx.signals.publish('events_stored', [lane.hold.tenantId])
  if (due.length > 0) ctx.signals.publish('deliveries_due', due)
}

async function disable(
  ctx: EffectContext,
  trx: Transaction<DB>,
  lane: Lane,
  reason: 'failing' | 'gone',
  cause: Outcome,
): Promise<string[]> {
  if (!(await disablePlugin(trx, lane.hold, reason))) return []
  // The registry shows which plugins are active.
  await raiseActionsVersion(trx, lane.target.tenantId)
  await audit(trx, SYSTEM_ACTOR, {
    tenantId: lane.target.tenantId,
    action: 'plugin.disabled',
    targetKind: 'plugin',
    targetId: lane.id,
    detail: { slug: lane.target.slug, reason },
  })
  const failingSince = await readFailingSince(trx, lane.hold)
  return announce(ctx, trx, lane, { event: 'plugin.disabled', failingSince, cause, reason })
}

interface Announcement {
  event: PluginAlert
  failingSince: Date | null
  cause: Outcome
  reason: 'failing' | 'gone' | null
}

/** @returns the plugins that the announcement is now due to */
async function announce(
  ctx: EffectContext,
  trx: Transaction<DB>,
  lane: Lane,
  { event, ...facts }: Announcement,
): Promise<string[]> {
  const { health, target } = lane
  return ctx.events.emitIn(trx, {
    tenantId: target.tenantId,
    event,
    source: 'system',
    exceptPluginId: lane.id,
    mostPerHour: ALERTS_PER_HOUR,
    data: pluginAlert(event, {
      slug: target.slug,
      pluginId: lane.id,
      health,
      disableAfterMs: ctx.disableAfterMs,
      ...facts,
    }),
  })
}
