import {
  BOOKING_TIME,
  BOOKING_VARIABLES,
  bookingVariables,
  bookingZone,
  checkTimeZone,
  IS_MOVED,
  IS_OPEN,
  isAhead,
  SAME_BOOKING,
  waitUntilBefore,
} from '../booking.ts'
import {
  AI_PROMPT,
  body,
  CHANNEL,
  CUSTOMER_ADDRESS,
  isReachable,
  FORMAT,
  messageStep,
  subject,
} from '../message.ts'
import { integer } from '../parameter.ts'
import { defineTemplate, idOf, onEvent } from '../template.ts'

/**
 * Leaves out those who book within the last hours: they know of it, and no reminder follows on the heels of the booking.
 * Those who are moved to within them may not: the reminder of the new time goes out at once.
 */
export const bookingReminder = defineTemplate({
  id: 'booking_reminder',
  title: 'Remind of bookings',
  description:
    'Writes to the customer some hours before an appointment. One that is moved is reminded of at its new time, one ' +
    'that is cancelled not at all, and one that was made at short notice not either.',
  category: 'bookings',
  parameters: {
    hours: integer('Hours before', 'How long before the appointment.', {
      default: 24,
      minimum: 1,
      maximum: 336,
    }),
    channel: CHANNEL,
    subject: subject('See you soon'),
    body: body(
      `Hello {{trigger.customer.name | default: "there"}},\n\nthis is to remind you of your appointment: ` +
        `${BOOKING_TIME}.\n\nIf you cannot come, please tell us.\n\n{{variables.shop_name}}`,
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    ...BOOKING_VARIABLES,
  },
  check: checkTimeZone,
  build: (values) => ({
    triggers: [onEvent('booking.created', IS_OPEN), onEvent('booking.updated', { all: [IS_OPEN, IS_MOVED] })],
    variables: bookingVariables(values),
    steps: [
      {
        id: 'moved',
        type: 'condition',
        condition: { field: 'event.type', operator: 'equals', value: 'booking.updated' },
        on_true: 'wait_moved',
        on_false: 'wait_booked',
      },
      waitUntilBefore('wait_moved', `${values.hours} hours`, 'ahead', 'run_now'),
      waitUntilBefore('wait_booked', `${values.hours} hours`, 'ahead', 'skip'),
      {
        id: 'ahead',
        type: 'condition',
        condition: { all: [isAhead, isReachable(values.channel, CUSTOMER_ADDRESS)] },
        on_true: 'zone',
        on_false: 'end',
      },
      bookingZone('reminder'),
      messageStep('reminder', values, CUSTOMER_ADDRESS),
    ],
    settings: {
      enrolment: {
        key: `{{${idOf('booking')}}}`,
        while_active: 'restart',
        cancel_on: [
          { event: 'booking.cancelled', match: SAME_BOOKING },
          { event: 'booking.completed', match: SAME_BOOKING },
        ],
      },
    },
  }),
})
