import type { PluginStatus } from '#db/schema.ts'
import type { StatusColumns } from './repository.ts'
import type { PluginPatch } from './schemas.ts'

/** The status that a caller means: `inactive` is what the platform says for paused. */
export function statusOf(wanted: NonNullable<PluginPatch['status']>): PluginStatus {
  return wanted === 'inactive' ? 'paused' : wanted
}

/** The columns of a status that a person chose. */
export function chosenStatus(status: PluginStatus): StatusColumns {
  return { status, status_reason: status === 'active' ? null : 'manual' }
}
