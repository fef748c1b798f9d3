import { type Actor, forbidden } from '#infra/auth/auth.ts'
import { changesOf } from '#infra/audit.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import { raiseActionsVersion, raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import type { Plugin } from './answer-schemas.ts'
import { checkUrls } from './settings/check-urls.ts'
import { checkCoalescing, checkWithinScopes } from './settings/checks.ts'
import {
  announceChange,
  found,
  isAdmin,
  mayReadSecrets,
  type PluginContext,
  refuseBeyondRole,
  transact,
} from './context.ts'
import { headersNeeded, refuseInvalid, revisionConflict } from './errors.ts'
import { clearUnreadable, endUnsubscribed, resetLane } from './lifecycle/lane-repository.ts'
import { auditPlugin } from './plugin-audit.ts'
import { findPlugin, lockPlugin, type PluginRow, updatePlugin } from './repository.ts'
import type { PluginPatch, PluginReplacement } from './schemas.ts'
import { toChangedColumns, toSettings } from './settings/sealed-settings.ts'
import { FIELDS, type SealedField, type Settings } from './settings/fields.ts'
import {
  applyChanges,
  asReplacement,
  changedFields,
  type Changes,
  checkChanges,
  concerns,
  isNarrowed,
  movesOrigin,
  toldSettings,
} from './settings/settings.ts'
import { isSlug } from './slug.ts'
import { chosenStatus, PAUSED_BY_ITSELF, statusOf } from './lifecycle/service.ts'
import { viewOnePlugin, warningsOf } from './view.ts'

/** Names a plugin, and the state of it that the caller has read. */
export interface PluginRef {
  tenantId: string
  slug: string
  /** The If-Match header. */
  ifMatch: string | undefined
}

/** PUT: settings that are left out return to their defaults. */
export async function replacePlugin(
  ctx: PluginContext,
  actor: Actor,
  pluginRef: PluginRef,
  { slug, status, keep_waiting: keepWaiting = false, ...settings }: PluginReplacement,
): Promise<Plugin> {
  return changePlugin(ctx, actor, pluginRef, { slug, status, keepWaiting, settings: asReplacement(settings) })
}

/** PATCH: settings that are left out stay as they are. */
export async function patchPlugin(
  ctx: PluginContext,
  actor: Actor,
  pluginRef: PluginRef,
  { slug, status, keep_waiting: keepWaiting = false, ...settings }: PluginPatch,
): Promise<Plugin> {
  return changePlugin(ctx, actor, pluginRef, { slug, status, keepWaiting, settings })
}

async function changePlugin(
  ctx: PluginContext,
  actor: Actor,
  { tenantId, slug, ifMatch }: PluginRef,
  wanted: {
    slug: string | undefined
    status: PluginPatch['status']
    /** Deliveries that wait are still sent, whatever is unsubscribed. */
    keepWaiting: boolean
    settings: Changes
  },
): Promise<Plugin> {
  found(isSlug(slug) ? await findPlugin(ctx.db, tenantId, slug) : undefined, actor)
  refuseBeyondOwn(actor, wanted)
  refuseBeyondRole(actor, wanted.settings)
  if (wanted.slug !== undefined && wanted.slug !== slug) {
    refuseInvalid([{ pointer: '/slug', detail: 'cannot be changed: register another plugin' }])
  }
  refuseInvalid(checkChanges(wanted.settings))
  await checkUrls(ctx.egress, wanted.settings)

  const { plugin, changed, id, settings } = await transact(ctx, async (trx) => {
    const row = found(await lockPlugin(trx, tenantId, slug), actor)
    if (!isCurrent(ifMatch, row.revision)) throw revisionConflict()
    const { settings: before, unreadable } = toSettings(ctx.secretBox, row)
    // What cannot be opened stays as it is stored, unless it is given again.
    const kept = unreadable.filter((field) => wanted.settings[field] === undefined)
    const after = settingsAfter(actor, row, before, { changes: wanted.settings, kept })
    const status = wanted.status === undefined ? row.status : statusOf(wanted.status)
    const given = unreadable.filter((field) => !kept.includes(field))
    const fields: string[] = [...new Set([...changedFields(before, after), ...given])]
    // A person's word takes over what the plugin's own key has paused.
    const isTakenOver = wanted.status !== undefined && row.status_reason === PAUSED_BY_ITSELF
    if (status !== row.status || isTakenOver) fields.push('status')
    if (fields.length > 0) {
      await updatePlugin(trx, tenantId, row.id, {
        ...toChangedColumns(ctx.secretBox, tenantId, row.id, after, kept),
        ...(fields.includes('status') && chosenStatus(status)),
      })
      // What failed was the old endpoint, or is over by a person's word.
      if (given.some(isSent)) await clearUnreadable(trx, tenantId, row.id)
      if (startsAfresh(fields, status)) await resetLane(trx, tenantId, row.id)
      if (concerns(fields, 'rematches')) await raiseSubscriptionsVersion(trx, tenantId)
      if (fields.includes('events') && sizeOf(after) > sizeOf(before)) {
        await enforceQuotas(trx, tenantId, ['filter_bytes'])
      }
      if (!wanted.keepWaiting && isNarrowed(before, after)) await endUnsubscribed(trx, tenantId, row.id)
      if (fields.includes('status')) await raiseActionsVersion(trx, tenantId)
      const changes = changesOf(
        { ...toldSettings(before), status: row.status },
        { ...toldSettings(after), status },
      )
      await auditPlugin(trx, actor, 'plugin.updated', row, { changed: fields, ...changes })
    }
    const now = found(await findPlugin(trx, tenantId, slug), actor)
    const view = await viewOnePlugin(ctx, trx, actor, now)
    return { plugin: view, changed: fields, id: row.id, settings: after }
  })
  if (changed.length > 0) announceChange(ctx, tenantId, id)
  if (startsAfresh(changed, plugin.status) || changed.includes('events')) {
    ctx.signals.publish('deliveries_due', [id])
  }
  return { ...plugin, ...(await warningsOf(ctx, tenantId, settings)) }
}

/** The fields that a plugin's own key changes: where the plugin is and what it wants to hear of. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['webhook_url', 'base_url', 'events', 'include_own'])

/** @throws `forbidden` */
function refuseBeyondOwn(
  { pluginId }: Actor,
  { settings, status }: { settings: Changes; status: PluginPatch['status'] },
): void {
  if (pluginId === null) return
  const given = Object.entries({ ...settings, status }).filter(([, value]) => value !== undefined)
  const others = given.map(([name]) => name).filter((name) => !OWN_FIELDS.has(name))
  if (others.length === 0) return
  throw forbidden(
    `A plugin's key changes ${[...OWN_FIELDS].join(', ')}, and its status by pause and resume; not ${others.join(', ')}.`,
  )
}

/** True if requests carry it: deliveries wait while it cannot be opened. */
function isSent(field: SealedField): boolean {
  return 'isSent' in FIELDS[field]
}

function isForAdmins(field: SealedField): boolean {
  return 'isForAdmins' in FIELDS[field]
}

/** In bytes, nearly. A change that makes filters smaller is never refused. */
function sizeOf({ events }: Settings): number {
  return JSON.stringify(events).length
}

function settingsAfter(
  actor: Actor,
  row: PluginRow,
  before: Settings,
  { changes, kept }: { changes: Changes; kept: readonly SealedField[] },
): Settings {
  const { settings, keptSent, keptForAdmins, errors } = applyChanges(before, changes)
  refuseInvalid([...errors, ...checkWithinScopes(settings), ...checkCoalescing(settings)])
  if (!movesOrigin(before, settings)) return settings
  // Else whoever may not read the headers could have them sent to a server of their own.
  const keepsSent = keptSent || kept.some(isSent)
  if (keepsSent && !mayReadSecrets(actor, row.id)) throw headersNeeded()
  // Nor may a plugin take what only admins give it: its own key reads headers, and no certificate's key.
  if ((keptForAdmins || kept.some(isForAdmins)) && !isAdmin(actor)) throw headersNeeded()
  return settings
}

function startsAfresh(changed: readonly string[], status: Plugin['status']): boolean {
  return concerns(changed, 'restarts') || (changed.includes('status') && status === 'active')
}

/** Proxies that compress make an ETag weak; it names the same revision. */
function isCurrent(ifMatch: string | undefined, revision: number): boolean {
  if (ifMatch === undefined) return true
  return ifMatch.split(',').some((tag) => ['*', etagOf(revision)].includes(tag.trim().replace(/^W\//, '')))
}

export function etagOf(revision: number): string {
  return `"${revision}"`
}
