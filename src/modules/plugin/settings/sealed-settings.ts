import { readJson } from '#db/json.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import type { JsonObject } from './redaction.ts'
import type { PluginColumns, PluginRow } from '../repository.ts'
import type { Settings } from './settings.ts'

export type SealedField = 'config' | 'headers'

/** The settings as columns, what is secret sealed for this row. */
export function toColumns(box: SecretBox, tenantId: string, id: string, settings: Settings): PluginColumns {
  const seal = (field: SealedField): Buffer | null =>
    Object.keys(settings[field]).length === 0
      ? null
      : box.seal(JSON.stringify(settings[field]), secretContext(tenantId, id, field))
  return {
    ...plainSettings(settings),
    subscriptions: JSON.stringify(settings.events),
    config_sealed: seal('config'),
    headers_sealed: seal('headers'),
    metadata: JSON.stringify(settings.metadata),
    retry_schedule: settings.retry_schedule === null ? null : [...settings.retry_schedule],
  }
}

export interface OpenedSettings {
  settings: Settings
  /** Fields whose master key is gone: `settings` has them empty. */
  unreadable: SealedField[]
}

export function toSettings(box: SecretBox, row: PluginRow): OpenedSettings {
  const unreadable: SealedField[] = []
  const open = (field: SealedField): JsonObject => {
    const sealed = row[`${field}_sealed`]
    if (sealed === null) return {}
    try {
      return readJson(box.open(sealed, secretContext(row.tenant_id, row.id, field))) as JsonObject
    } catch (error) {
      if (!(error instanceof SecretBoxError)) throw error
      unreadable.push(field)
      return {}
    }
  }
  const settings = {
    ...plainSettings(row),
    events: row.subscriptions,
    config: open('config'),
    headers: open('headers') as Record<string, string>,
    metadata: row.metadata,
    retry_schedule: row.retry_schedule,
  }
  return { settings, unreadable }
}

/** The settings that are stored as they are. */
function plainSettings(given: PlainSettings): PlainSettings {
  const { name, description, webhook_url, base_url } = given
  const { timeout_ms, rate_limit_per_second, max_in_flight, include_own } = given
  return {
    ...{ name, description, webhook_url, base_url },
    ...{ timeout_ms, rate_limit_per_second, max_in_flight, include_own },
  }
}

type PlainSettings = Pick<
  Settings,
  | 'name'
  | 'description'
  | 'webhook_url'
  | 'base_url'
  | 'timeout_ms'
  | 'rate_limit_per_second'
  | 'max_in_flight'
  | 'include_own'
>
