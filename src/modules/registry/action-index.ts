import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJsonb } from '#db/json.ts'
import { type NameOwner, type RegistryAction, type StoredAction, toRegistryAction } from './action.ts'
import { PLATFORM_ACTIONS } from './platform-actions.ts'
import { type PluginHead, selectPluginActions, selectPluginHeads, selectSharedNames } from './repository.ts'
import type { Snapshot } from './version-cache.ts'

export interface IndexedPlugin extends PluginHead {
  readonly byType: ReadonlyMap<string, RegistryAction>
  /** Bytes of its actions as text. */
  readonly bytes: number
}

export type ActionOrder = 'action' | 'plugin' | 'category'

const PLUGIN_WEIGHT = 500

/** Every action that a tenant can use, to look up and to walk in an order. Never changed once it is made. */
export class ActionIndex implements Snapshot {
  readonly plugins: ReadonlyMap<string, IndexedPlugin>
  readonly weight: number
  readonly #bySlug: ReadonlyMap<string, IndexedPlugin>
  readonly #byType: ReadonlyMap<string, RegistryAction[]>
  readonly #ordered = new Map<ActionOrder, readonly OrderedAction[]>()
  #all: readonly RegistryAction[] | null = null

  /** @param owners of names that several plugins have, the one that counts first */
  constructor(read: readonly IndexedPlugin[], owners: readonly NameOwner[] = []) {
    const plugins = withDefaults(read, owners)
    this.plugins = new Map(plugins.map((plugin) => [plugin.id, plugin]))
    this.weight = plugins.reduce((sum, { bytes }) => sum + bytes + PLUGIN_WEIGHT, 0)
    this.#bySlug = new Map(plugins.map((plugin) => [plugin.slug, plugin]))
    this.#byType = Map.groupBy(
      plugins.flatMap((plugin) => [...plugin.byType.values()]),
      (action) => action.action_type,
    )
    for (const actions of this.#byType.values()) {
      actions.sort((a, b) => Number(b.is_default) - Number(a.is_default))
    }
  }

  /** By id or slug: no slug looks like an id. */
  plugin(ref: string): IndexedPlugin | undefined {
    return this.#bySlug.get(ref) ?? this.plugins.get(ref.toLowerCase())
  }

  /** Of all plugins that have it; first the one that is meant when none is named. */
  actionsOfType(actionType: string): readonly RegistryAction[] {
    return this.#byType.get(actionType) ?? []
  }

  /** The platform's first, then by plugin, each by action type. */
  get all(): readonly RegistryAction[] {
    return (this.#all ??= this.inOrder('plugin').map(({ action }) => action))
  }

  /** The platform's and the plugins' actions by their order keys. */
  inOrder(order: ActionOrder): readonly OrderedAction[] {
    let actions = this.#ordered.get(order)
    if (actions === undefined) {
      actions = putInOrder(order, [...PLATFORM_ACTIONS, ...[...this.#byType.values()].flat()])
      this.#ordered.set(order, actions)
    }
    return actions
  }
}

/** Says of every action whether it is the one that is meant when no plugin is named. */
function withDefaults(plugins: readonly IndexedPlugin[], owners: readonly NameOwner[]): IndexedPlugin[] {
  const first = new Map<string, string>()
  const known = new Map(plugins.map((plugin) => [plugin.id, plugin]))
  for (const { action_type: name, plugin_id: id } of owners) {
    if (!first.has(name) && known.get(id)?.byType.has(name) === true) first.set(name, id)
  }
  return plugins.map((plugin) => {
    const isDefault = (name: string): boolean => (first.get(name) ?? plugin.id) === plugin.id
    const changed = [...plugin.byType].filter(([name, action]) => action.is_default !== isDefault(name))
    if (changed.length === 0) return plugin
    const byType = new Map(plugin.byType)
    for (const [name, action] of changed) byType.set(name, { ...action, is_default: isDefault(name) })
    return { ...plugin, byType }
  })
}

export interface OrderedAction {
  readonly key: OrderKey
  readonly action: RegistryAction
  /** The text in which a search looks, in lower case. */
  readonly text: string
}

export function putInOrder(order: ActionOrder, actions: Iterable<RegistryAction>): OrderedAction[] {
  return [...actions]
    .map((action) => ({ key: orderKey(order, action), action, text: searchText(action) }))
    .sort((a, b) => compareKeys(a.key, b.key))
}

function searchText({ action_type, aliases, title, description, plugin }: RegistryAction): string {
  return [action_type, ...aliases, title, description, plugin ?? ''].join('\n').toLowerCase()
}

export type OrderKey = readonly [string, string, string]

/** Unique among the actions of a tenant. The platform, whose slug is empty, comes first. */
function orderKey(order: ActionOrder, action: RegistryAction): OrderKey {
  const { action_type: type, plugin, category } = action
  if (order === 'plugin') return [plugin ?? '', type, '']
  return order === 'category' ? [category, type, plugin ?? ''] : [type, plugin ?? '', '']
}

export function compareKeys(a: OrderKey, b: OrderKey): number {
  for (const [at, part] of a.entries()) {
    const other = b[at] ?? ''
    if (part !== other) return part < other ? -1 : 1
  }
  return 0
}

/** Reads only plugins whose rows have changed: one of a thousand plugins that registers costs one to read. */
export async function loadActionIndex(
  db: Kysely<DB>,
  tenantId: string,
  stale: ActionIndex | undefined,
): Promise<ActionIndex> {
  const [heads, owners] = await Promise.all([
    selectPluginHeads(db, tenantId),
    selectSharedNames(db, tenantId),
  ])
  const kept = heads.flatMap(({ id, mark }) => {
    const known = stale?.plugins.get(id)
    return known?.mark === mark ? [known] : []
  })
  const keptIds = new Set(kept.map(({ id }) => id))
  const changed = heads.filter(({ id }) => !keptIds.has(id)).map(({ id }) => id)
  if (changed.length === 0) return new ActionIndex(kept, owners)
  const rows = await selectPluginActions(db, tenantId, changed)
  return new ActionIndex([...kept, ...rows.map(indexPlugin)], owners)
}

function indexPlugin({ id, slug, status, mark, actions }: PluginHead & { actions: string }): IndexedPlugin {
  const plugin = { id, slug, active: status === 'active' }
  const stored = readJsonb(actions) as StoredAction[]
  // The registered declaration counts more than the manifest's for an action that is in both.
  const preferred = stored.toSorted(
    (a, b) => Number(a.origin === 'registered') - Number(b.origin === 'registered'),
  )
  const byType = new Map(preferred.map((each) => [each.action_type, toRegistryAction(each, plugin)]))
  return { id, slug, status, mark, bytes: actions.length, byType }
}
