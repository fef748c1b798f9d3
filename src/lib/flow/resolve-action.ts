/** The facts by which an action is chosen among several of its name. */
interface Resolvable {
  plugin: string | null
  plugin_active: boolean
}

/** Look-ups of actions, as whoever keeps them gives them. */
export interface ActionsByName<Action extends Resolvable> {
  /** By its name or an alias. */
  ofPlatform(actionType: string): Action | undefined
  /** By UUID or slug. */
  plugin(ref: string): { slug: string; byType: ReadonlyMap<string, Action> } | undefined
  /** Of all plugins that have it; first the one that is meant when none is named. */
  ofType(actionType: string): readonly Action[]
}

type Resolved<Action> =
  | { action: Action }
  | {
      problem: 'unknown_action' | 'unknown_plugin' | 'plugin_inactive'
      message: string
    }

/** Stands where a plugin is named, for the platform itself. */
export const PLATFORM = 'platform'
const NAMED_MAX_CHARS = 128

/** The action that is meant by a name, or why there is none. The builder and the service say the same. */
export function resolveAmong<Action extends Resolvable>(
  actions: ActionsByName<Action>,
  actionType: string,
  pluginRef: string | null,
): Resolved<Action> {
  const ofPlatform = actions.ofPlatform(actionType)
  if (ofPlatform !== undefined && (pluginRef === null || pluginRef === PLATFORM)) {
    return { action: ofPlatform }
  }
  const name = actionType.slice(0, NAMED_MAX_CHARS)
  if (pluginRef === PLATFORM) return unknownAction(`The platform has no action "${name}".`)
  if (pluginRef !== null) {
    const plugin = actions.plugin(pluginRef)
    if (plugin === undefined)
      return { problem: 'unknown_plugin', message: 'There is no such plugin: give its UUID or slug.' }
    const action = plugin.byType.get(actionType)
    if (action !== undefined) return ifActive(action)
    const hint = ofPlatform === undefined ? '' : " It is the platform's: leave plugin_id out."
    return unknownAction(`The plugin "${plugin.slug}" has no action "${name}".${hint}`)
  }
  const [action] = actions.ofType(actionType)
  if (action === undefined)
    return unknownAction(`There is no action "${name}": see GET /api/plugins/actions.`)
  // Also when another has an action of the name: the name means the same action as yesterday.
  return ifActive(action)
}

function ifActive<Action extends Resolvable>(action: Action): Resolved<Action> {
  if (action.plugin_active) return { action }
  return { problem: 'plugin_inactive', message: `The plugin "${action.plugin ?? ''}" is not active.` }
}

function unknownAction(message: string): { problem: 'unknown_action'; message: string } {
  return { problem: 'unknown_action', message }
}
