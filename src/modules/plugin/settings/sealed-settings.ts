import { readJson } from '#db/json.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import type { JsonObject } from './redaction.ts'
import type { PluginRow } from '../repository.ts'
import type { Seal } from './field-kinds.ts'
import {
  EACH_FIELD,
  mapFields,
  type SealedField,
  type Settings,
  type SettingsColumns,
  type WrittenColumns,
} from './fields.ts'

/** The settings as columns, what is secret sealed for this row. */
export function toColumns(box: SecretBox, tenantId: string, id: string, settings: Settings): WrittenColumns {
  return toChangedColumns(box, tenantId, id, settings, []) as WrittenColumns
}

/** The same without the columns of some fields, which stay as they are. */
export function toChangedColumns(
  box: SecretBox,
  tenantId: string,
  id: string,
  settings: Settings,
  kept: readonly SealedField[],
): Partial<WrittenColumns> {
  const written = EACH_FIELD.filter(([name]) => !(kept as readonly string[]).includes(name))
  return Object.fromEntries(
    written.flatMap(([name, { column, write, follower }]) => [
      [column, write(settings[name], sealOf(box, tenantId, id, name))],
      ...(follower === undefined ? [] : [[follower.column, follower.write(settings[name])]]),
    ]),
  ) as Partial<WrittenColumns>
}

export interface OpenedSettings {
  settings: Settings
  /** Fields whose master key is gone: `settings` has them empty. */
  unreadable: SealedField[]
}

export function toSettings(box: SecretBox, row: PluginRow): OpenedSettings {
  const unreadable: SealedField[] = []
  const settings = mapFields(({ column, initial, read }, name) => {
    try {
      return read(row[column as keyof SettingsColumns], sealOf(box, row.tenant_id, row.id, name))
    } catch (error) {
      if (!(error instanceof SecretBoxError)) throw error
      unreadable.push(name as SealedField)
      return initial
    }
  }) as Settings
  return { settings, unreadable }
}

function sealOf(box: SecretBox, tenantId: string, id: string, field: string): Seal {
  return {
    seal: (value) =>
      Object.keys(value).length === 0
        ? null
        : box.seal(JSON.stringify(value), secretContext(tenantId, id, field)),
    open: (sealed) =>
      sealed === null ? {} : (readJson(box.open(sealed, secretContext(tenantId, id, field))) as JsonObject),
  }
}
