import { readJson, type Schema } from '../../../api/client.ts'

/** A plugin's settings as they are written in fields; an empty field means the default. */
export interface SettingsDraft {
  name: string
  webhook_url: string
  base_url: string
  description: string
  headers: { name: string; value: string }[]
  config: string
  retry_schedule: string
  timeout_ms: string
  rate_limit_per_second: string
  max_in_flight: string
  include_own: boolean
  ordered: boolean
  ordering_key: string
}

export const EMPTY_SETTINGS: Readonly<SettingsDraft> = {
  name: '',
  webhook_url: '',
  base_url: '',
  description: '',
  headers: [],
  config: '',
  retry_schedule: '',
  timeout_ms: '',
  rate_limit_per_second: '',
  max_in_flight: '',
  include_own: false,
  ordered: false,
  ordering_key: '',
}

const textOf = (value: number | null): string => (value === null ? '' : String(value))

export function draftOf(plugin: Schema['Plugin']): SettingsDraft {
  return {
    name: plugin.name,
    webhook_url: plugin.webhook_url,
    base_url: plugin.base_url,
    description: plugin.description ?? '',
    headers: Object.entries(plugin.headers).map(([name, value]) => ({ name, value: String(value) })),
    config: Object.keys(plugin.config).length === 0 ? '' : JSON.stringify(plugin.config, null, 2),
    retry_schedule: plugin.retry_schedule?.join(', ') ?? '',
    timeout_ms: textOf(plugin.timeout_ms),
    rate_limit_per_second: textOf(plugin.rate_limit_per_second),
    max_in_flight: textOf(plugin.max_in_flight),
    include_own: plugin.include_own,
    ordered: plugin.ordering === 'key',
    ordering_key: plugin.ordering_key ?? '',
  }
}

function numberOf(text: string): number | null {
  return text.trim() === '' ? null : Number(text)
}

/** `none` stands for no retry at all. */
function scheduleOf(text: string): number[] | null {
  if (text.trim() === '') return null
  if (text.trim() === 'none') return []
  return text
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map(Number)
}

type Settings = Omit<Schema['PluginInput'], 'slug' | 'events' | 'secret' | 'tenant_id' | 'status'>

export function settingsOf(draft: SettingsDraft): Settings {
  const headers = draft.headers.filter(({ name }) => name.trim() !== '')
  return {
    name: draft.name.trim(),
    webhook_url: draft.webhook_url.trim(),
    base_url: draft.base_url.trim() || null,
    description: draft.description.trim() || null,
    headers:
      headers.length === 0
        ? null
        : Object.fromEntries(headers.map(({ name, value }) => [name.trim(), value])),
    config: draft.config.trim() === '' ? null : (readJson(draft.config) as Record<string, unknown>),
    retry_schedule: scheduleOf(draft.retry_schedule),
    timeout_ms: numberOf(draft.timeout_ms),
    rate_limit_per_second: numberOf(draft.rate_limit_per_second),
    max_in_flight: numberOf(draft.max_in_flight),
    include_own: draft.include_own,
    ordering: draft.ordered ? 'key' : 'none',
    ordering_key: draft.ordering_key.trim() || null,
  }
}

/** Only what differs is sent: what somebody else changed meanwhile, or what follows another setting, is left alone. */
export function changesOf(before: SettingsDraft, after: SettingsDraft): Schema['PluginPatch'] {
  const old = new Map(Object.entries(settingsOf(before)))
  return Object.fromEntries(
    Object.entries(settingsOf(after)).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(old.get(name)),
    ),
  )
}
