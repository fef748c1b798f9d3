import { constraintOf } from '#db/errors.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { enforceQuotas } from '#infra/quotas.ts'
import { secretContext } from '#infra/secrets.ts'
import { raiseActionsVersion, raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { isEventType } from '#lib/event-pattern.ts'
import { newId } from '#lib/ids.ts'
import { generateSecret } from '#lib/secrets/signature.ts'
import { removePluginTypes } from '#modules/event/index.ts'
import type { Plugin, TestResult } from './answer-schemas.ts'
import { checkCoalescing, checkSecret, checkWithinScopes } from './settings/checks.ts'
import { checkUrls } from './settings/check-urls.ts'
import { announceChange, found, type PluginContext, refuseBeyondRole, transact } from './context.ts'
import { pluginExists, pluginNotFound, refuseInvalid } from './errors.ts'
import { giveUpWaiting, insertLane, resetLane } from './lifecycle/lane-repository.ts'
import { auditPlugin } from './plugin-audit.ts'
import {
  deleteActionNames,
  deleteCapabilities,
  findPlugin,
  insertPlugin,
  listPlugins as listPluginRows,
  lockPlugin,
  markPluginDeleted,
  revokePluginKeys,
} from './repository.ts'
import type { PluginInput, PluginQuery } from './schemas.ts'
import { toColumns } from './settings/sealed-settings.ts'
import { deleteSecrets, insertSecret } from './secrets/repository.ts'
import { applyChanges, asReplacement, checkChanges } from './settings/settings.ts'
import { isSlug, slugErrors, slugOf } from './slug.ts'
import { chosenStatus, statusOf } from './lifecycle/service.ts'
import { patternsFor } from './settings/subscription.ts'
import { viewOnePlugin, viewPlugins, warningsOf } from './view.ts'

/** The answer is the only place where the signing secret appears, beside that of a rotation. */
export async function registerPlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  input: Omit<PluginInput, 'tenant_id'>,
): Promise<Plugin & { secret: string }> {
  const { slug = slugOf(input.name), secret = generateSecret(), status = 'active', ...settings } = input
  refuseBeyondRole(actor, settings)
  refuseInvalid([...slugErrors(slug), ...checkSecret(secret), ...checkChanges(settings)])
  const applied = applyChanges(null, asReplacement(settings))
  refuseInvalid([
    ...applied.errors,
    ...checkWithinScopes(applied.settings),
    ...checkCoalescing(applied.settings),
  ])
  await checkUrls(ctx.egress, settings)

  const id = newId()
  const plugin = await transact(ctx, async (trx) => {
    await insertPlugin(trx, {
      ...toColumns(ctx.secretBox, tenantId, id, applied.settings),
      ...chosenStatus(statusOf(status)),
      id,
      tenant_id: tenantId,
      slug,
    })
    const secretId = newId()
    const sealed = ctx.secretBox.seal(secret, secretContext(tenantId, secretId, 'secret'))
    await insertSecret(trx, { id: secretId, tenant_id: tenantId, plugin_id: id, sealed })
    await insertLane(trx, tenantId, id)
    await raiseSubscriptionsVersion(trx, tenantId)
    await raiseActionsVersion(trx, tenantId)
    await enforceQuotas(trx, tenantId, ['plugins', 'filter_bytes'])
    await auditPlugin(trx, actor, 'plugin.created', { tenant_id: tenantId, id, slug }, { name: input.name })
    return viewOnePlugin(ctx, trx, actor, found(await findPlugin(trx, tenantId, slug), actor))
  }).catch((error: unknown) => {
    if (constraintOf(error) !== 'plugins_tenant_id_slug_key') throw error
    throw pluginExists(undefined, { cause: error })
  })
  announceChange(ctx, tenantId, id)
  return { ...plugin, secret, ...(await warningsOf(ctx, tenantId, applied.settings)) }
}

/** Newest first; a plugin's own key sees that plugin only. */
export async function listPlugins(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  query: PluginQuery,
): Promise<{ data: Plugin[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  if (query.event !== undefined && !isEventType(query.event)) {
    refuseInvalid([
      { pointer: '/querystring/event', detail: 'must be an event type such as product.created' },
    ])
  }
  const rows = await listPluginRows(ctx.db, tenantId, {
    limit: query.limit + 1,
    before: before as string | null,
    id: actor.pluginId,
    status: query.status,
    q: query.q,
    patterns: query.event === undefined ? null : patternsFor(query.event),
  })
  const { data, next_cursor } = page(rows, query.limit, (row) => [row.id])
  return { data: await viewPlugins(ctx, actor, tenantId, data), next_cursor }
}

export async function readPlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<Plugin> {
  const row = isSlug(slug) ? await findPlugin(ctx.db, tenantId, slug) : undefined
  return viewOnePlugin(ctx, ctx.db, actor, found(row, actor))
}

/** Ends the plugin: its keys, secrets and subscriptions go, what waits is given up, the slug is free again. */
export async function deletePlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<void> {
  const { id, keyIds } = await transact(ctx, async (trx) => {
    const row = found(isSlug(slug) ? await lockPlugin(trx, tenantId, slug) : undefined, actor)
    await markPluginDeleted(trx, tenantId, row.id)
    await deleteSecrets(trx, tenantId, row.id)
    await deleteCapabilities(trx, tenantId, row.id)
    await deleteActionNames(trx, tenantId, row.id)
    await removePluginTypes(trx, tenantId, row.id)
    const revoked = await revokePluginKeys(trx, tenantId, row.id)
    await resetLane(trx, tenantId, row.id)
    await giveUpWaiting(trx, tenantId, row.id, 'plugin_deleted')
    await raiseSubscriptionsVersion(trx, tenantId)
    await raiseActionsVersion(trx, tenantId)
    await auditPlugin(trx, actor, 'plugin.deleted', row, { revoked_keys: revoked.length })
    return { id: row.id, keyIds: revoked }
  })
  announceChange(ctx, tenantId, id)
  ctx.signals.publish('deliveries_due', [id])
  if (keyIds.length > 0) ctx.signals.publish('key_changed', keyIds)
}

/** Sends a signed `plugin.test` now, whatever the plugin's status. */
export async function testPlugin(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
): Promise<TestResult> {
  const row = found(isSlug(slug) ? await findPlugin(ctx.db, tenantId, slug) : undefined, actor)
  await auditPlugin(ctx.db, actor, 'plugin.tested', row)
  const result = await ctx.deliveries.sendTest(tenantId, row.id)
  if (result === undefined) throw pluginNotFound()
  return result
}
