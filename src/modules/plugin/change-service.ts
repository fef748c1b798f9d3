import type { Actor } from '#infra/auth/auth.ts'
import { raiseActionsVersion, raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import type { Plugin } from './answer-schemas.ts'
import { checkUrls } from './settings/check-urls.ts'
import { found, mayReadSecrets, type PluginContext, transact } from './context.ts'
import { headersNeeded, refuseInvalid, revisionConflict } from './errors.ts'
import { resetLane } from './lifecycle/lane-repository.ts'
import { auditPlugin } from './plugin-audit.ts'
import { findPlugin, lockPlugin, type PluginRow, updatePlugin } from './repository.ts'
import type { PluginPatch, PluginReplacement } from './schemas.ts'
import { toColumns, toSettings } from './settings/sealed-settings.ts'
import type { Settings } from './settings/fields.ts'
import {
  applyChanges,
  asReplacement,
  changedFields,
  type Changes,
  checkChanges,
  concerns,
  movesOrigin,
} from './settings/settings.ts'
import { isSlug } from './slug.ts'
import { chosenStatus, statusOf } from './lifecycle/service.ts'
import { viewOnePlugin } from './view.ts'

export interface Target {
  tenantId: string
  slug: string
  /** The If-Match header. */
  ifMatch: string | undefined
}

/** PUT: settings that are left out return to their defaults. */
export async function replacePlugin(
  ctx: PluginContext,
  actor: Actor,
  target: Target,
  { slug, status, ...settings }: PluginReplacement,
): Promise<Plugin> {
  return changePlugin(ctx, actor, target, { slug, status, settings: asReplacement(settings) })
}

/** PATCH: settings that are left out stay as they are. */
export async function patchPlugin(
  ctx: PluginContext,
  actor: Actor,
  target: Target,
  { slug, status, ...settings }: PluginPatch,
): Promise<Plugin> {
  return changePlugin(ctx, actor, target, { slug, status, settings })
}

async function changePlugin(
  ctx: PluginContext,
  actor: Actor,
  { tenantId, slug, ifMatch }: Target,
  wanted: { slug: string | undefined; status: PluginPatch['status']; settings: Changes },
): Promise<Plugin> {
  found(isSlug(slug) ? await findPlugin(ctx.db, tenantId, slug) : undefined, actor)
  if (wanted.slug !== undefined && wanted.slug !== slug) {
    refuseInvalid([{ pointer: '/slug', detail: 'cannot be changed: register another plugin' }])
  }
  refuseInvalid(checkChanges(wanted.settings))
  await checkUrls(ctx.egress, wanted.settings)

  const { plugin, changed, id } = await transact(ctx, async (trx) => {
    const row = found(await lockPlugin(trx, tenantId, slug), actor)
    if (!isCurrent(ifMatch, row.revision)) throw revisionConflict()
    const before = toSettings(ctx.secretBox, row)
    const after = settingsAfter(actor, row, before, wanted.settings)
    const status = wanted.status === undefined ? row.status : statusOf(wanted.status)
    const fields = [...changedFields(before, after), ...(status === row.status ? [] : ['status'])]
    if (fields.length > 0) {
      await updatePlugin(trx, tenantId, row.id, {
        ...toColumns(ctx.secretBox, tenantId, row.id, after),
        ...(fields.includes('status') && chosenStatus(status)),
      })
      // What failed was the old endpoint, or is over by a person's word.
      if (startsAfresh(fields, status)) await resetLane(trx, tenantId, row.id)
      if (concerns(fields, 'rematches')) await raiseSubscriptionsVersion(trx, tenantId)
      if (fields.includes('status')) await raiseActionsVersion(trx, tenantId)
      await auditPlugin(trx, actor, 'plugin.updated', row, { changed: fields })
    }
    const now = found(await findPlugin(trx, tenantId, slug), actor)
    return { plugin: await viewOnePlugin(ctx, trx, actor, now), changed: fields, id: row.id }
  })
  if (changed.length > 0) ctx.signals.publish('plugin_changed', [id])
  if (startsAfresh(changed, plugin.status)) ctx.signals.publish('deliveries_due', [id])
  return plugin
}

function settingsAfter(actor: Actor, row: PluginRow, before: Settings, changes: Changes): Settings {
  const { settings, keptSent, errors } = applyChanges(before, changes)
  refuseInvalid(errors)
  // Else whoever may not read the headers could have them sent to a server of their own.
  if (keptSent && !mayReadSecrets(actor, row.id) && movesOrigin(before, settings)) throw headersNeeded()
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
