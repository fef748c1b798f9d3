import {
  ADDRESS,
  BY_HAND,
  CUSTOMER_ADDRESS,
  type EventTrigger,
  IS_BOOKED,
  IS_CONFIRMED,
  IS_MOVED,
  IS_OPEN,
  LEAD_CONTACT,
  onEvent,
  type PersonChannel,
  SAME_BOOKING,
  type Step,
  waitUntilBefore,
} from '#modules/flow-template/index.ts'
import { type AutomationFields, type AutomationTrigger, isOfBooking } from './fields.ts'
import { OWN_ID, subjectOf } from './record.ts'

/** The start and the wait of an automation, by its trigger and delay. */
export interface Start {
  triggers: EventTrigger[]
  /** The waits of a start by an event; empty: none. */
  waits: Step[]
  enrolment: Record<string, unknown>
}

export type Addresses = Readonly<Record<PersonChannel, string>>

/** The path in the trigger's data of the address of each channel. */
export function addressesOf(trigger: AutomationTrigger): Addresses {
  if (trigger === 'message_received') return { email: 'trigger.from', sms: 'trigger.from' }
  return isOfBooking(trigger) ? CUSTOMER_ADDRESS : ADDRESS
}

/** Two events about the same thing are one; each start by hand stands alone, as it has no event. */
const keyOf = (path: string): string => `{{${path}}} {{event.source | default: now}}`
const ONCE = 'never'
/** Robots that answer each other do so once a day. */
const ANSWER_AGAIN_AFTER = '24 hours'

const PERSON = 'trigger.lead_id | default: trigger.customer_id | default: trigger.from'
/** Somebody of the shop wrote to whom the message is from. */
const ANSWERED = [
  { lead_id: '{{trigger.lead_id | default: "none"}}' },
  { customer_id: '{{trigger.customer_id | default: "none"}}' },
  { to: '{{trigger.from}}' },
].map((match) => ({ event: 'message.sent', match, filter: BY_HAND }))

const CANCELLED = { event: 'booking.cancelled', match: SAME_BOOKING }
const COMPLETED = { event: 'booking.completed', match: SAME_BOOKING }
/**
 * Cancels what waits to tell of the old time. A reminder starts anew by the same event, unless the booking no longer
 * meets the conditions at its new time.
 */
const MOVED = {
  event: 'booking.updated',
  match: SAME_BOOKING,
  filter: { field: 'changes', operator: 'contains', value: 'starts_at' },
}
const STATUS_CHANGED = { event: 'lead.status_changed', match: { lead_id: '{{trigger.lead_id}}' } }

/** @param next the step that follows when the time has come */
export function startOf(fields: AutomationFields, next: string): Start {
  const { type, trigger, delay_hours: hours } = fields
  const waits = hours === 0 ? [] : [wait(hours, next)]
  const key = keyOf(`trigger.${OWN_ID[subjectOf(trigger)]}`)
  const once = { key, reenter_after: ONCE }
  /** A lead that is to be answered at once is answered, whatever else comes at that moment. */
  const until = (events: object[]) => (hours === 0 ? {} : { cancel_on: events })
  switch (trigger) {
    case 'new_lead':
    case 'no_contact': {
      const endsByContact = type === 'lead_followup' || trigger === 'no_contact'
      const enrolment = { ...once, ...(endsByContact && until(LEAD_CONTACT)) }
      return { triggers: [onEvent('lead.created')], waits, enrolment }
    }
    case 'status_changed': {
      const enrolment =
        type === 'lead_followup'
          ? { key, while_active: 'restart', ...until(LEAD_CONTACT) }
          : until([STATUS_CHANGED])
      return { triggers: [onEvent('lead.status_changed')], waits, enrolment }
    }
    case 'message_received': {
      const enrolment =
        type === 'lead_followup'
          ? { key: keyOf(PERSON), reenter_after: ANSWER_AGAIN_AFTER, ...until(ANSWERED) }
          : once
      return { triggers: [onEvent('message.received')], waits, enrolment }
    }
    case 'before_booking':
      return beforeBooking(hours, next)
    case 'after_booking':
      return {
        triggers:
          type === 'booking_confirmation'
            ? [onEvent('booking.created', IS_BOOKED), onEvent('booking.updated', IS_CONFIRMED)]
            : [onEvent('booking.completed')],
        waits,
        enrolment: { ...once, ...(type === 'booking_confirmation' && until([CANCELLED, MOVED])) },
      }
  }
}

/** Waits until so many hours before a booking: at short notice, one that is booked is known, one that is moved may not be. */
function beforeBooking(hours: number, next: string): Start {
  const ahead = durationOf(hours)
  return {
    triggers: [onEvent('booking.created', IS_OPEN), onEvent('booking.updated', { all: [IS_OPEN, IS_MOVED] })],
    waits: [
      {
        id: 'moved',
        type: 'condition',
        condition: { field: 'event.type', operator: 'equals', value: 'booking.updated' },
        on_true: 'wait_moved',
        on_false: 'wait_booked',
      },
      waitUntilBefore('wait_moved', ahead, next, 'run_now'),
      waitUntilBefore('wait_booked', ahead, next, 'skip'),
    ],
    enrolment: {
      key: keyOf(`trigger.${OWN_ID.booking}`),
      while_active: 'restart',
      cancel_on: [CANCELLED, COMPLETED, MOVED],
    },
  }
}

function wait(hours: number, next: string): Step {
  return { id: 'wait', type: 'delay', duration: durationOf(hours), next }
}

/** In the largest unit that takes no fraction; exact to the second. */
function durationOf(hours: number): string {
  const seconds = Math.max(1, Math.round(hours * 3_600))
  if (seconds % 3_600 === 0) return `${seconds / 3_600} hours`
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`
}
