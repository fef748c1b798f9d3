import { allowsHost } from '#lib/connection-hosts.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { CatalogueAction, FlowCatalogue } from './catalogue.ts'
import { resolveAmong } from './resolve-action.ts'

/** A tenant's catalogue as plain data, for compiling outside of the service. */
export interface CatalogueFacts {
  strictEvents: boolean
  /** Left out: it has one. */
  hasPlatform?: boolean
  eventTypes: readonly {
    name: string
    schema: SafeSchema | null
    /** The slug of the plugin that owns the type; null: the platform or the tenant does. */
    plugin: string | null
    sample?: unknown
  }[]
  actions: readonly ActionFacts[]
  plugins: readonly { id: string; slug: string; active: boolean }[]
  connections: readonly { name: string; kind?: string; hosts: readonly string[] }[]
  variables: readonly string[]
}

interface ActionFacts extends Omit<CatalogueAction, 'emits'> {
  aliases: readonly string[]
  plugin: string | null
  plugin_active: boolean
  is_default: boolean
}

/**
 * The events that the platform announces of its own actions. `update_order_status` announces the status that it is
 * given.
 */
const EMITTED_BY_PLATFORM: Readonly<Record<string, readonly string[]>> = {
  create_product: ['product.created'],
  update_product: ['product.updated'],
  delete_product: ['product.deleted'],
  create_customer: ['customer.created'],
  update_customer: ['customer.updated'],
  create_order: ['order.created'],
}

/** An action as the compiler takes it. */
export function toCatalogueAction(action: Omit<CatalogueAction, 'emits'>): CatalogueAction {
  const emits = action.plugin_id === null ? EMITTED_BY_PLATFORM[action.action_type] : undefined
  return { ...action, emits: emits ?? [] }
}

/** Makes a catalogue of the facts. It refuses no URL: only the service knows which ones may not be called. */
export function toCatalogue(facts: CatalogueFacts): FlowCatalogue {
  const [ofPlatform, ofPlugins] = [true, false].map((wanted) =>
    facts.actions.filter(({ plugin_id: id }) => (id === null) === wanted),
  ) as [ActionFacts[], ActionFacts[]]
  const platform = new Map(
    ofPlatform.flatMap((each) => [each.action_type, ...each.aliases].map((name) => [name, each] as const)),
  )
  const byType = Map.groupBy(
    ofPlugins.toSorted((one, other) => Number(other.is_default) - Number(one.is_default)),
    ({ action_type: type }) => type,
  )
  const byPlugin = Map.groupBy(ofPlugins, ({ plugin_id: id }) => id)
  const pluginOf = (ref: string): CatalogueFacts['plugins'][number] | undefined =>
    facts.plugins.find(({ slug }) => slug === ref) ?? facts.plugins.find(({ id }) => id === ref.toLowerCase())
  const ids = new Map(facts.plugins.map(({ id, slug }) => [slug, id]))
  return {
    strictEvents: facts.strictEvents,
    ...(facts.hasPlatform !== undefined && { hasPlatform: facts.hasPlatform }),
    eventTypes: new Map(
      facts.eventTypes.map(({ name, schema, plugin, sample }) => [
        name,
        { schema, plugin_id: (plugin === null ? null : ids.get(plugin)) ?? null, sample },
      ]),
    ),
    variables: new Set(facts.variables),
    connections: new Map(
      facts.connections.map(({ name, kind, hosts }) => [
        name,
        { ...(kind !== undefined && { kind }), hosts, allows: (url) => allowsHost(hosts, url) },
      ]),
    ),
    resolvePlugin: (ref) => pluginOf(ref) ?? null,
    resolveAction: (actionType, pluginRef) => {
      const resolution = resolveAmong(
        {
          ofPlatform: (name) => platform.get(name),
          plugin: (ref) => {
            const plugin = pluginOf(ref)
            if (plugin === undefined) return undefined
            const actions = byPlugin.get(plugin.id) ?? []
            return { slug: plugin.slug, byType: new Map(actions.map((each) => [each.action_type, each])) }
          },
          ofType: (name) => byType.get(name) ?? [],
        },
        actionType,
        pluginRef,
      )
      return 'action' in resolution ? { action: toCatalogueAction(resolution.action) } : resolution
    },
  }
}
