import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { overloaded } from '#infra/http/problems.ts'
import { raiseActionsVersion } from '#infra/tenant-versions.ts'
import { isLockNotAvailable } from '#db/errors.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { type ActionOrigin, type RegistryAction, type StoredAction, toRegistryAction } from './action.ts'
import { type NewNeeds, newNeeds } from './breaks.ts'
import { readActions } from './declaration.ts'
import { type Difference, differenceOf, isEmptyDifference } from './difference.ts'
import { actionNotFound, actionsInvalid, tooManyActions } from './errors.ts'
import {
  chooseName,
  countActionBytes,
  type LockedPlugin,
  lockPlugin,
  replaceNames,
  selectSharedNames,
  updateActions,
} from './repository.ts'
import type { ActionDeclaration } from './schemas.ts'

export interface RegistryContext {
  db: Kysely<DB>
}

/** Of all plugins of a tenant together, as text: a replica may have to hold so much for it. */
const MAX_TENANT_BYTES = 32 * 1024 * 1024

export interface Registered extends Difference {
  plugin: string
  plugin_id: string
  actions: RegistryAction[]
  needs: NewNeeds[]
}

/**
 * Replaces the actions that the plugin has registered; those of its manifest stay. Saying the same again changes
 * nothing.
 * @throws `plugin_not_found`, `actions_invalid`, `too_many_actions`
 */
export async function registerActions(
  ctx: RegistryContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  declarations: readonly ActionDeclaration[],
): Promise<Registered> {
  return withPlugin(ctx, actor, tenantId, slug, async (trx, plugin) => {
    const { actions, errors } = readActions(declarations, {
      origin: 'registered',
      baseUrl: plugin.base_url,
      at: '/actions',
      nameField: 'action_type',
    })
    if (errors.length > 0) throw actionsInvalid(undefined, { errors })
    const { needs, ...difference } = await replaceActions(trx, tenantId, plugin, 'registered', actions)
    if (!isEmptyDifference(difference)) {
      await audit(trx, actor, {
        tenantId,
        action: 'plugin.actions_registered',
        targetKind: 'plugin',
        targetId: plugin.id,
        detail: { slug: plugin.slug, ...difference },
      })
    }
    const owners = await selectSharedNames(trx, tenantId)
    const registered = actions.map((action) => {
      const owner = owners.find(({ action_type }) => action_type === action.action_type)
      return {
        ...toRegistryAction(action, plugin),
        is_default: (owner?.plugin_id ?? plugin.id) === plugin.id,
      }
    })
    return { plugin: plugin.slug, plugin_id: plugin.id, actions: registered, needs, ...difference }
  })
}

/**
 * Makes these the plugin's actions of this origin.
 * @throws `too_many_actions`
 */
export async function replaceActions(
  trx: Transaction<DB>,
  tenantId: string,
  plugin: Pick<LockedPlugin, 'id' | 'actions'>,
  origin: ActionOrigin,
  actions: readonly StoredAction[],
): Promise<Difference & { needs: NewNeeds[] }> {
  const before = plugin.actions.filter((action) => action.origin === origin)
  const others = plugin.actions.filter((action) => action.origin !== origin)
  const difference = {
    ...differenceOf(before, actions, (action) => action.action_type),
    needs: newNeeds(before, actions),
  }
  if (isEmptyDifference(difference)) return difference
  const all = [...others, ...actions]
  await updateActions(trx, tenantId, plugin.id, all)
  const names = all.map(({ action_type: name }) => name)
  await replaceNames(trx, tenantId, plugin.id, [...new Set(names)])
  // Concurrent registrations are not counted: a bound for memory need not be exact.
  const grows = JSON.stringify(actions).length > JSON.stringify(before).length
  if (grows && (await countActionBytes(trx, tenantId)) > MAX_TENANT_BYTES) throw tooManyActions()
  // Last, because intake reads the row that this locks.
  await raiseActionsVersion(trx, tenantId)
  return difference
}

/**
 * Makes the plugin's action the one that is meant when no plugin is named.
 * @throws `action_not_found`
 */
export async function chooseDefault(
  ctx: RegistryContext,
  actor: Actor,
  tenantId: string,
  actionType: string,
  pluginId: string,
): Promise<void> {
  await ctx.db.transaction().execute(async (trx) => {
    if (!(await chooseName(trx, tenantId, { action_type: actionType, plugin_id: pluginId }))) {
      throw actionNotFound()
    }
    await raiseActionsVersion(trx, tenantId)
    await audit(trx, actor, {
      tenantId,
      action: 'action_name.assigned',
      targetKind: 'action',
      targetId: actionType,
      detail: { plugin_id: pluginId },
    })
  })
}

/**
 * Works on a plugin that nobody else changes meanwhile. Between the look at a plugin's key and the lock the plugin may be
 * gone, and its slug another one's.
 * @throws `plugin_not_found`, `overloaded` when the row stays locked for longer than a request waits
 */
export async function withPlugin<T>(
  ctx: RegistryContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  work: (trx: Transaction<DB>, plugin: LockedPlugin) => Promise<T>,
): Promise<T> {
  try {
    return await ctx.db.transaction().execute(async (trx) => {
      const plugin = await lockPlugin(trx, tenantId, slug)
      if (plugin === undefined || (actor.pluginId !== null && actor.pluginId !== plugin.id))
        throw pluginNotFound()
      return work(trx, plugin)
    })
  } catch (error) {
    if (isLockNotAvailable(error)) throw overloaded(undefined, { cause: error })
    throw error
  }
}
