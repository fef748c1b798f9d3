import type { SafeSchema } from '#lib/schema/safe/index.ts'

/** Says what a tenant has, as the compiler needs to know it. Given from outside, so that compiling asks nobody. */
export interface FlowCatalogue {
  /** The tenant takes only types that were declared: a flow on another would never start. */
  strictEvents: boolean
  eventTypes: ReadonlyMap<string, CatalogueEventType>
  /** @param pluginRef a plugin's UUID or slug, or `platform`; null: the owner of the action's name */
  resolveAction(actionType: string, pluginRef: string | null): ActionResolution
  /** Null: the tenant has no such plugin. Never asked for `platform`. */
  resolvePlugin(pluginRef: string): CataloguePlugin | null
  /** False: nobody has said where the platform is, so none of its actions can be done. Left out: they can. */
  hasPlatform?: boolean
  /** The shop's connections, by name; left out: it has none. */
  connections?: ReadonlyMap<string, CatalogueConnection>
  /** Names of the shop's variables; left out: it has none. */
  variables?: ReadonlySet<string>
  /**
   * Returns the reason why a URL may not be called, as a sentence, by what is known without asking; null or left out:
   * it may.
   */
  urlFault?(url: string): string | null
}

export interface CatalogueConnection {
  /** Left out: one by which requests are sent. */
  kind?: string
  /** The hosts to which its values may go, for people. */
  hosts: readonly string[]
  /** Returns whether they may go to this URL. */
  allows(url: string): boolean
}

export interface CatalogueEventType {
  /** Of the event's data; null: not declared. */
  schema: SafeSchema | null
  /** The plugin that owns the type; null: the platform or the tenant does. */
  plugin_id: string | null
  /** An example of the data, for a type without a schema. */
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
  /** The fields that it cannot be called without; of the platform: the parameters of its path. */
  required_fields: readonly string[]
  optional_fields: readonly string[]
  /** The schema that the input of a plugin's action has to meet; of the platform's: a hint. */
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
