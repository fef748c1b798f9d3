import { PLATFORM, resolveAmong } from '#lib/flow/resolve-action.ts'
import type { RegistryAction } from './action.ts'
import type { ActionIndex } from './action-index.ts'
import { platformAction } from './platform-actions.ts'
import type { VersionCache } from './version-cache.ts'

export type Resolution = ReturnType<typeof resolveAmong<RegistryAction>>

/** The action that a dispatch means, or why there is none. Never rejects for what the caller says. */
export async function resolveAction(
  cache: VersionCache<ActionIndex>,
  tenantId: string,
  actionType: string,
  pluginRef: string | null,
): Promise<Resolution> {
  // An action of the platform needs no look at the tenant's plugins.
  const isOfPlatform =
    pluginRef === PLATFORM || (pluginRef === null && platformAction(actionType) !== undefined)
  const index = isOfPlatform ? null : await cache.get(tenantId)
  return resolveIn(index, actionType, pluginRef)
}

/** The same, among actions that have been read already. @param index null: only the platform's are asked for */
export function resolveIn(
  index: ActionIndex | null,
  actionType: string,
  pluginRef: string | null,
): Resolution {
  return resolveAmong<RegistryAction>(
    {
      ofPlatform: platformAction,
      plugin: (ref) => index?.plugin(ref),
      ofType: (name) => index?.actionsOfType(name) ?? [],
    },
    actionType,
    pluginRef,
  )
}
