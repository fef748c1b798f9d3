import type { SafeSchema } from '#lib/schema/safe/index.ts'

/** Something that can be done, by the platform or a plugin: as discovery shows it and the dispatcher needs it. */
export interface RegistryAction {
  readonly action_type: string
  /** Further names that a dispatch may use. */
  readonly aliases: readonly string[]
  readonly title: string
  readonly description: string
  readonly category: string
  readonly source: 'platform' | 'plugin'
  readonly plugin_id: string | null
  /** The plugin's slug. */
  readonly plugin: string | null
  readonly plugin_active: boolean
  /** It is the one that callers mean who name no plugin, of all actions with the name. */
  readonly is_default: boolean
  /** The fields without which a dispatch is refused; of the platform: the parameters of its path. */
  readonly required_fields: readonly string[]
  readonly optional_fields: readonly string[]
  /** Of a plugin: payloads are held to it. Of the platform: a hint, for the platform judges its payloads itself. */
  readonly input_schema: SafeSchema | null
  readonly output_schema: SafeSchema | null
  /** Doing it twice is as good as once: it may be repeated after a failure whose effect is unknown. */
  readonly idempotent: boolean
  readonly method: string
  /** Of the platform: `/api/products/:id`, with `:id` taken from the payload. */
  readonly path: string | null
  /** Of a plugin: the path below its base_url; null: its webhook_url. */
  readonly endpoint: string | null
  readonly timeout_ms: number | null
}

/** An action as `plugins.registered_actions` keeps it. */
export interface StoredAction {
  action_type: string
  title: string
  description: string
  category: string
  required_fields: string[]
  optional_fields: string[]
  input_schema: SafeSchema | null
  output_schema: SafeSchema | null
  endpoint: string | null
  method: string
  timeout_ms: number | null
  idempotent: boolean
  origin: ActionOrigin
}

/** A plugin that has an action of a name. */
export interface NameOwner {
  action_type: string
  plugin_id: string
}

const PATH_FIELDS = /:([a-z_]+)/g

/** Fields that a platform action's path takes from the payload: `/api/products/:id` takes `id`. */
export function pathFields({ path }: Pick<RegistryAction, 'path'>): string[] {
  return [...(path ?? '').matchAll(PATH_FIELDS)].map(([, field]) => field as string)
}

/** The source of the declaration: `register-actions`, or the plugin's capability manifest. */
export type ActionOrigin = 'registered' | 'manifest'

export function toRegistryAction(
  { origin: _origin, ...action }: StoredAction,
  plugin: { id: string; slug: string; active: boolean },
): RegistryAction {
  return {
    ...action,
    aliases: [],
    source: 'plugin',
    plugin_id: plugin.id,
    plugin: plugin.slug,
    plugin_active: plugin.active,
    is_default: true,
    path: null,
  }
}
