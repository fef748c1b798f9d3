import type { RegistryAction } from './action.ts'
import type { ActionIndex } from './action-index.ts'
import { platformAction } from './platform-actions.ts'
import type { VersionCache } from './version-cache.ts'

export type Resolution =
  | { action: RegistryAction }
  | {
      problem: 'unknown_action' | 'unknown_plugin' | 'plugin_inactive'
      message: string
    }

const PLATFORM_REF = 'platform'
const NAMED_MAX_CHARS = 128

/** The action that a dispatch means, or why there is none. Never rejects for what the caller says. */
export async function resolveAction(
  cache: VersionCache<ActionIndex>,
  tenantId: string,
  actionType: string,
  pluginRef: string | null,
): Promise<Resolution> {
  return (
    resolveOfPlatform(actionType, pluginRef) ?? resolveIn(await cache.get(tenantId), actionType, pluginRef)
  )
}

/** The same, among actions that have been read already. */
export function resolveIn(index: ActionIndex, actionType: string, pluginRef: string | null): Resolution {
  const atOnce = resolveOfPlatform(actionType, pluginRef)
  if (atOnce !== null) return atOnce
  const name = actionType.slice(0, NAMED_MAX_CHARS)
  if (pluginRef !== null) {
    const plugin = index.plugin(pluginRef)
    if (plugin === undefined)
      return { problem: 'unknown_plugin', message: 'There is no such plugin: give its UUID or slug.' }
    const action = plugin.byType.get(actionType)
    if (action !== undefined) return ifActive(action)
    const hint = platformAction(actionType) === undefined ? '' : " It is the platform's: leave plugin_id out."
    return unknownAction(`The plugin "${plugin.slug}" has no action "${name}".${hint}`)
  }
  const [action] = index.actionsOfType(actionType)
  if (action === undefined)
    return unknownAction(`There is no action "${name}": see GET /api/plugins/actions.`)
  // Also when another has an action of the name: what was meant yesterday is meant today.
  return ifActive(action)
}

/** What needs no look at the tenant's plugins; null: it does. */
function resolveOfPlatform(actionType: string, pluginRef: string | null): Resolution | null {
  const action = platformAction(actionType)
  if (action !== undefined && (pluginRef === null || pluginRef === PLATFORM_REF)) return { action }
  if (pluginRef !== PLATFORM_REF) return null
  return unknownAction(`The platform has no action "${actionType.slice(0, NAMED_MAX_CHARS)}".`)
}

function ifActive(action: RegistryAction): Resolution {
  if (action.plugin_active) return { action }
  return { problem: 'plugin_inactive', message: `The plugin "${action.plugin ?? ''}" is not active.` }
}

function unknownAction(message: string): Resolution {
  return { problem: 'unknown_action', message }
}
