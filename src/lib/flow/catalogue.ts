import type { SafeSchema } from '#lib/schema/safe/index.ts'

/** Says what a tenant has, as the compiler needs to know it. Given from outside, so that compiling asks nobody. */
export interface FlowCatalogue {
  /** The tenant takes only types that were declared: a flow on another would never start. */
  strictEvents: boolean
  eventTypes: ReadonlyMap<string, CatalogueEventType>
  /** @param pluginRef a plugin's UUID or slug, or `platform`; null: whose the action's name is */
  resolveAction(actionType: string, pluginRef: string | null): ActionResolution
  /** Null: the tenant has no such plugin. Never asked for `platform`. */
  resolvePlugin(pluginRef: string): CataloguePlugin | null
  /** The shop's connections, by name; left out: it has none. */
  connections?: ReadonlyMap<string, CatalogueConnection>
  /** Names of the shop's variables; left out: it has none. */
  variables?: ReadonlySet<string>
  /** Why a URL may not be called, as a sentence, by what is known without asking; null or left out: it may. */
  urlFault?(url: string): string | null
}

export interface CatalogueConnection {
  /** Where its values may go, for people. */
  hosts: readonly string[]
  /** Whether they may go to this URL. */
  allows(url: string): boolean
}

export interface CatalogueEventType {
  /** Of the event's data; null: not declared. */
  schema: SafeSchema | null
  /** Whose type it is; null: the platform's or the tenant's. */
  plugin_id: string | null
  /** What the data looks like, where no schema says it. */
  sample?: unknown
}

export interface CataloguePlugin {
  id: string
  slug: string
  active: boolean
}

export interface CatalogueAction {
  action_type: string
  /** Null: an action of the platform. */
  plugin_id: string | null
  /** What it cannot be called without; of the platform: what its path takes. */
  required_fields: readonly string[]
  optional_fields: readonly string[]
  /** Of a plugin: what its input has to be. Of the platform: a hint. */
  input_schema: SafeSchema | null
  output_schema: SafeSchema | null
  /** Event types that running it causes. */
  emits: readonly string[]
}

export type ActionResolution =
  | { action: CatalogueAction }
  | {
      problem: 'unknown_action' | 'unknown_plugin' | 'plugin_inactive'
      message: string
    }
