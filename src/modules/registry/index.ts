/**
 * The registry: everything that can be done, by the platform or by a plugin.
 *
 * Owns the table of platform actions, `action_names` and `plugins.registered_actions`. What always holds:
 *
 * - A plugin's actions change all at once or not at all, and only after all of them were checked.
 * - Every change raises the tenant's `actions_version` in its transaction. Replicas hold a tenant's actions in
 *   memory and look at the version whenever they are asked, so that a change is seen everywhere at once.
 * - An action of the platform's name is the platform's. Plugins of a tenant may share one: a caller that names no
 *   plugin means the first that had it, unless an admin has chosen another (`action_names`).
 */
import type { FastifyInstance } from 'fastify'
import { readActionsVersion } from '#infra/tenant-versions.ts'
import fp from 'fastify-plugin'
import type { RegistryAction } from './action.ts'
import { type ActionIndex, loadActionIndex } from './action-index.ts'
import { type BreaksOf, brokenActions, type UsageLookup } from './breaks.ts'
import { PLATFORM_ACTIONS } from './platform-actions.ts'
import { type Resolution, resolveAction, resolveIn } from './resolve.ts'
import { registryRoutes } from './routes.ts'
import { NAMED } from './schemas.ts'
import { ActionUsage, PluginUsage } from './usage.ts'
import { VersionCache } from './version-cache.ts'

export { pathFields, type RegistryAction, type StoredAction } from './action.ts'
export { readActions, readSchema } from './declaration.ts'
export type { ActionBreak, BrokenAction, NewNeeds } from './breaks.ts'
export { type Difference, differenceOf } from './difference.ts'
export { etagOf, isNamed } from './discovery.ts'
export { tooManyActions } from './errors.ts'
export type { LockedPlugin } from './repository.ts'
export { ActionBreak as ActionBreakSchema, breaksFor } from './breaks.ts'
export { ACTION_DETAILS, ActionType, RegistryAction as RegistryActionSchema } from './schemas.ts'
export { replaceActions, withPlugin } from './service.ts'
export { type Snapshot, VersionCache } from './version-cache.ts'

export interface RegistryService {
  /** `pluginRef`: a plugin's UUID or slug, `platform`, or null for the owner of the name. */
  resolve(tenantId: string, actionType: string, pluginRef: string | null): Promise<Resolution>
  /** All that the tenant can use: the platform's first, then by plugin, each by action type. */
  actions(tenantId: string): Promise<readonly RegistryAction[]>
  /** The tenant's actions and plugins as of now, to ask many questions of. */
  snapshot(tenantId: string): Promise<RegistrySnapshot>
  platformActions: readonly RegistryAction[]
  /** For the module that knows who uses actions, which may not be asked from here. */
  onUsage(lookup: UsageLookup): void
  breaksOf: BreaksOf
}

export interface RegistrySnapshot {
  resolve(actionType: string, pluginRef: string | null): Resolution
  /** By UUID or slug. */
  plugin(ref: string): { id: string; slug: string; active: boolean } | null
}

declare module 'fastify' {
  interface FastifyInstance {
    registry: RegistryService
  }
}

/** Bytes of JSON text; in memory it takes some times as much. */
const CACHE_MAX_BYTES = 64 * 1024 * 1024

export default fp(
  async (app: FastifyInstance) => {
    const cache = new VersionCache<ActionIndex>({
      readVersion: (tenantId) => readActionsVersion(app.db, tenantId),
      load: (tenantId, stale) => loadActionIndex(app.db, tenantId, stale),
      maxWeight: CACHE_MAX_BYTES,
    })
    let lookUpUsage: UsageLookup | null = null
    const breaksOf: BreaksOf = async (tenantId, plugin, change) => {
      if (change.removed.length + change.needs.length === 0 || lookUpUsage === null) return []
      const broken = brokenActions(await cache.get(tenantId), plugin, change)
      return broken.length === 0 ? [] : lookUpUsage(tenantId, broken)
    }
    app.apiDocument.addTag('actions', 'What can be done, by the platform or a plugin, and doing it')
    app.decorate('registry', {
      resolve: (tenantId, actionType, pluginRef) => resolveAction(cache, tenantId, actionType, pluginRef),
      actions: async (tenantId) => (await cache.get(tenantId)).all,
      snapshot: async (tenantId) => {
        const index = await cache.get(tenantId)
        return {
          resolve: (actionType, pluginRef) => resolveIn(index, actionType, pluginRef),
          plugin: (ref) => {
            const found = index.plugin(ref)
            return found ? { id: found.id, slug: found.slug, active: found.status === 'active' } : null
          },
        }
      },
      platformActions: PLATFORM_ACTIONS,
      onUsage: (lookup) => void (lookUpUsage = lookup),
      breaksOf,
    } satisfies RegistryService)
    for (const schema of [...NAMED, ActionUsage, PluginUsage]) app.addSchema(schema)
    const usage = {
      breaksOf,
      lookUpUsage: async (...asked: Parameters<UsageLookup>) => (await lookUpUsage?.(...asked)) ?? [],
    }
    await app.register(async (routes) => registryRoutes(routes, { db: app.db }, cache, usage))
  },
  { name: 'registry', dependencies: ['db', 'auth'] },
)
