import type { FieldError } from '#lib/api/problem.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import { SHOP_NAME } from './message.ts'
import { text } from './parameter.ts'
import { pointerTo } from './read-parameters.ts'
import { sameAs, type Step } from './template.ts'

/** For bookings that do not say in which time zone they are. */
export const BOOKING_VARIABLES = {
  shop_name: SHOP_NAME,
  time_zone: text(
    'Time zone',
    "For appointments that do not name theirs, such as Europe/Lisbon. Empty: the shop's.",
    '',
  ),
}

export function bookingVariables(values: { shop_name: string; time_zone: string }): Record<string, string> {
  const { shop_name, time_zone } = values
  return { shop_name, time_zone }
}

export function checkTimeZone({ time_zone }: { time_zone: string }): FieldError[] {
  if (time_zone === '' || isTimeZone(time_zone)) return []
  return [{ pointer: pointerTo('time_zone'), detail: 'must be an IANA time zone such as Europe/Lisbon' }]
}

/** Gives `variables.zone`, in which `BOOKING_TIME` is written. */
export function bookingZone(next: string): Step {
  return {
    id: 'zone',
    type: 'set',
    variables: { zone: '{{trigger.time_zone | default: variables.time_zone | default: tenant.time_zone}}' },
    next,
  }
}

export const BOOKING_TIME =
  '{{trigger.service.name | default: "appointment"}}, ' +
  '{{trigger.starts_at | date: "%A %-d %B %Y, %H:%M", variables.zone}}'

/** Passes bookings that are ahead: one that is over, or entered after the fact, is no news to anybody. */
export const isAhead = { field: 'trigger.starts_at', operator: 'after', value: '{{now}}' }

export const IS_OPEN = { field: 'status', operator: 'not_in', value: ['cancelled', 'completed'] }
/** Of `booking.created`: made, and not only asked for. */
export const IS_BOOKED = { field: 'status', operator: 'not_in', value: ['pending', 'cancelled', 'completed'] }
/** Of `booking.updated`: what was asked for is granted. */
export const IS_CONFIRMED = {
  all: [
    { field: 'status', operator: 'equals', value: 'confirmed' },
    { field: 'changes', operator: 'contains', value: 'status' },
  ],
}
/** Of `booking.updated`. */
export const IS_MOVED = { field: 'changes', operator: 'contains', value: 'starts_at' }
export const SAME_BOOKING = sameAs('booking')

/**
 * Waits until so long before the appointment.
 * @param ahead a duration such as `24 hours`
 * @param ifPast what becomes of an appointment that is nearer than that
 */
export function waitUntilBefore(id: string, ahead: string, next: string, ifPast: 'run_now' | 'skip'): Step {
  return {
    id,
    type: 'delay',
    until: '{{trigger.starts_at}}',
    offset: `-${ahead}`,
    if_past: ifPast,
    next,
  }
}
