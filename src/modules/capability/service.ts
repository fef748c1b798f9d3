import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { raiseActionsVersion } from '#infra/tenant-versions.ts'
import { replacePluginTypes } from '#modules/event/index.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { type LockedPlugin, type NewNeeds, replaceActions, withPlugin } from '#modules/registry/index.ts'
import type { CapabilityContext } from './context.ts'
import { manifestInvalid } from './errors.ts'
import { compareManifests, isSameOffer, type ManifestDifference, readManifest, typesOf } from './manifest.ts'
import {
  type CapabilityRow,
  findCapabilities,
  findPluginId,
  type Origin,
  saveManifest,
} from './repository.ts'
import type { CapabilityManifest, PluginCapabilities } from './schemas.ts'

export interface CapabilityUpdate extends ManifestDifference {
  capabilities: PluginCapabilities
  /** Fields that actions require now and did not before; left out: none. */
  needs?: NewNeeds[]
}

/** The origin of a manifest, and the time at which it is looked at again. */
export interface Source {
  origin: Origin
  etag: string | null
  nextCheckMs: number | null
}

/**
 * The author gives the manifest: from now on it is not fetched by itself.
 * @throws `plugin_not_found`, `manifest_invalid`, `too_many_actions`
 */
export async function pushManifest(
  ctx: CapabilityContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  input: CapabilityManifest,
): Promise<CapabilityUpdate> {
  const source: Source = { origin: 'pushed', etag: null, nextCheckMs: null }
  return withPlugin(ctx, actor, tenantId, slug, (trx, plugin) =>
    applyManifest(trx, actor, tenantId, plugin, input, source),
  )
}

export async function readCapabilities(
  ctx: CapabilityContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<PluginCapabilities> {
  const pluginId = await findPluginId(ctx.db, tenantId, slug)
  if (pluginId === undefined || (actor.pluginId !== null && actor.pluginId !== pluginId))
    throw pluginNotFound()
  return viewCapabilities({ id: pluginId, slug }, await findCapabilities(ctx.db, tenantId, pluginId))
}

/**
 * All of it or nothing: event types, actions and the manifest itself.
 * @throws `manifest_invalid`, `too_many_actions`
 */
export async function applyManifest(
  trx: Transaction<DB>,
  actor: Actor,
  tenantId: string,
  plugin: LockedPlugin,
  input: CapabilityManifest,
  { origin, etag, nextCheckMs }: Source,
): Promise<CapabilityUpdate> {
  const { manifest, actions, errors } = readManifest(input, plugin.base_url)
  if (errors.length > 0) throw manifestInvalid(undefined, { errors })
  const before = (await findCapabilities(trx, tenantId, plugin.id))?.manifest ?? null

  const types = await replacePluginTypes(trx, actor, { tenantId, pluginId: plugin.id }, typesOf(manifest))
  if (types.refusal !== null) {
    const pointer = input.capabilities === undefined ? '/triggers' : '/capabilities/triggers'
    throw manifestInvalid(undefined, { errors: [{ pointer, detail: types.refusal }] })
  }
  const { needs } = await replaceActions(trx, tenantId, plugin, 'manifest', actions)
  const difference = compareManifests(before, manifest)
  const changed = !isSameOffer(before, manifest)
  if (changed || types.changed) await raiseActionsVersion(trx, tenantId)
  if (changed) {
    await audit(trx, actor, {
      tenantId,
      action: 'plugin.manifest_changed',
      targetKind: 'plugin',
      targetId: plugin.id,
      detail: { slug: plugin.slug, origin, version: manifest.version, ...difference },
    })
  }
  await saveManifest(trx, { tenantId, pluginId: plugin.id, manifest, origin, etag, changed, nextCheckMs })
  const row = await findCapabilities(trx, tenantId, plugin.id)
  return { ...difference, needs, capabilities: viewCapabilities(plugin, row) }
}

export function viewCapabilities(
  plugin: { id: string; slug: string },
  row: CapabilityRow | undefined,
): PluginCapabilities {
  const failures = row?.consecutive_failures ?? 0
  return {
    plugin: plugin.slug,
    plugin_id: plugin.id,
    manifest: row?.manifest ?? null,
    own_event_types: row?.own_event_types ?? [],
    // A first look that failed has not made it a fetched one yet.
    origin: row === undefined || row.manifest === null ? null : row.origin,
    version: row?.version ?? null,
    health: failures > 0 ? 'failing' : row === undefined ? 'unknown' : 'healthy',
    last_updated: row?.last_updated ?? null,
    last_checked_at: row?.last_checked_at ?? null,
    last_error: row?.last_error ?? null,
    consecutive_failures: failures,
    next_check_at: row?.next_check_at ?? null,
  }
}
