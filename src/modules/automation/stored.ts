import { createHash } from 'node:crypto'
import type { AutomationFields } from './fields.ts'

/** The automation, as its flow keeps it. */
export interface StoredAutomation extends AutomationFields {
  /** The one of those that the service ships; null: none. */
  preset: string | null
  /** Of the definition that was made of the fields: another one was edited by hand. */
  definition_sha256: string
}

export function storedAutomation(
  fields: AutomationFields,
  preset: string | null,
  definition: Record<string, unknown>,
): StoredAutomation {
  // As the flow module stores what comes from within.
  const text = JSON.stringify(definition)
  return { ...fields, preset, definition_sha256: createHash('sha256').update(text).digest('hex') }
}

export function fieldsOf({
  preset: _,
  definition_sha256: __,
  ...fields
}: StoredAutomation): AutomationFields {
  return fields
}
