import { readPath } from '#lib/json/path.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import type { FlowScope } from './scope.ts'

/** In which times are read that do not name one: that of the trigger's data, else the tenant's. */
export function zoneOf({ zone, trigger, tenant }: Partial<FlowScope>): string {
  return zone ?? ownZone(trigger) ?? tenant?.time_zone ?? 'UTC'
}

/** The zone that the schedules of a flow name, if they name one. UTC is what they have without. */
export function zoneOfSchedules(triggers: readonly { type: string; timezone?: unknown }[]): string | null {
  const zones = triggers.flatMap(({ type, timezone }) => (type === 'schedule' ? [timezone] : []))
  const [zone, ...others] = new Set(zones)
  return others.length > 0 || zone === 'UTC' || !isTimeZone(zone) ? null : zone
}

function ownZone(data: unknown): string | null {
  const zone = readPath(data, ['time_zone']) ?? readPath(data, ['timezone'])
  return isTimeZone(zone) ? zone : null
}
