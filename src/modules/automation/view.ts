import type { FieldError } from '#lib/api/problem.ts'
import type { AutomationRow } from './repository.ts'
import type { Automation } from './schemas.ts'
import { fieldsOf } from './stored.ts'

export function viewAutomation(row: AutomationRow, warnings?: FieldError[]): Automation {
  const { automation, name, status, status_reason, times_triggered, last_triggered_at: last_triggered } = row
  return {
    ...fieldsOf(automation),
    id: row.id,
    name,
    status,
    status_reason,
    times_triggered,
    last_triggered,
    created_at: row.created_at,
    updated_at: row.updated_at,
    enabled: isEnabled(row),
    customised: isCustomised(row),
    preset: automation.preset,
    ...(warnings !== undefined && { warnings }),
  }
}

export function isEnabled({ status }: AutomationRow): boolean {
  return status === 'active'
}

export function isCustomised({ automation, definition_sha256 }: AutomationRow): boolean {
  return automation.definition_sha256 !== definition_sha256
}
