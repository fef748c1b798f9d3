import {
  BOOKING_TIME,
  BOOKING_VARIABLES,
  bookingVariables,
  bookingZone,
  checkTimeZone,
  IS_BOOKED,
  IS_CONFIRMED,
  isAhead,
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
import { defineTemplate, onceEach, onEvent } from '../template.ts'

export const bookingConfirmation = defineTemplate({
  id: 'booking_confirmation',
  title: 'Confirm bookings',
  description:
    'Writes to the customer when an appointment is made, or as soon as a requested one is confirmed.',
  category: 'bookings',
  parameters: {
    channel: CHANNEL,
    subject: subject('Your appointment is confirmed'),
    body: body(
      `Hello {{trigger.customer.name | default: "there"}},\n\nyour appointment is confirmed: ${BOOKING_TIME}.\n\n` +
        'If you cannot come, please tell us early.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    ...BOOKING_VARIABLES,
  },
  check: checkTimeZone,
  build: (values) => ({
    triggers: [onEvent('booking.created', IS_BOOKED), onEvent('booking.updated', IS_CONFIRMED)],
    variables: bookingVariables(values),
    steps: [
      {
        id: 'ahead',
        type: 'condition',
        condition: { all: [isAhead, isReachable(values.channel, CUSTOMER_ADDRESS)] },
        on_true: 'zone',
        on_false: 'end',
      },
      bookingZone('confirmation'),
      messageStep('confirmation', values, CUSTOMER_ADDRESS),
    ],
    settings: { enrolment: onceEach('booking') },
  }),
})
