import {
  AI_PROMPT,
  body,
  CHANNEL,
  CUSTOMER_ADDRESS,
  FORMAT,
  messageStep,
  reachableStep,
  SHOP_NAME,
  subject,
} from '../message.ts'
import { integer } from '../parameter.ts'
import { defineTemplate, onceEach, onEvent } from '../template.ts'

export const postSession = defineTemplate({
  id: 'post_session',
  title: 'Ask how it was',
  description: 'Writes to the customer some hours after an appointment took place.',
  category: 'bookings',
  parameters: {
    hours: integer('Hours after', 'How long after the appointment.', {
      default: 24,
      minimum: 1,
      maximum: 720,
    }),
    channel: CHANNEL,
    subject: subject('How was it?'),
    body: body(
      'Hello {{trigger.customer.name | default: "there"}},\n\nthank you for coming. How was it? Just answer this ' +
        'message: we read every one.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  build: (values) => ({
    triggers: [onEvent('booking.completed')],
    variables: { shop_name: values.shop_name },
    steps: [
      reachableStep(values.channel, CUSTOMER_ADDRESS, 'pause'),
      { id: 'pause', type: 'delay', duration: `${values.hours} hours`, next: 'question' },
      messageStep('question', values, CUSTOMER_ADDRESS),
    ],
    settings: { enrolment: onceEach('booking') },
  }),
})
