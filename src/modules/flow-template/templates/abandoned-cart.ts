import {
  AI_PROMPT,
  body,
  CUSTOMER_ADDRESS,
  FORMAT,
  messageStep,
  reachableStep,
  SHOP_NAME,
  subject,
} from '../message.ts'
import { integer } from '../parameter.ts'
import { defineTemplate, onceEach, onEvent, sameAs } from '../template.ts'

const SETTLED = ['paid', 'shipped', 'delivered', 'cancelled']
const SAME_ORDER = sameAs('order')

export const abandonedCart = defineTemplate({
  id: 'abandoned_cart',
  title: 'Remind of unpaid orders',
  description:
    'Writes to the customer of an order that is neither paid nor cancelled some hours after it was placed, unless that ' +
    'customer has paid another one meanwhile.',
  category: 'orders',
  parameters: {
    hours: integer('Hours', 'How long to wait for the payment.', { default: 4, minimum: 1, maximum: 720 }),
    subject: subject('Your order {{trigger.number | default: ""}} is waiting for you'),
    body: body(
      'Hello {{trigger.customer.name | default: "there"}},\n\nyour order over ' +
        '{{trigger.total | money: trigger.currency}} is not paid yet. We keep it for you: you can still complete ' +
        'it.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  build: (values) => ({
    triggers: [onEvent('order.created', { field: 'status', operator: 'not_in', value: SETTLED })],
    variables: { shop_name: values.shop_name },
    steps: [
      {
        id: 'payment',
        type: 'wait_event',
        any: [
          { event: 'order.paid', match: SAME_ORDER },
          { event: 'order.cancelled', match: SAME_ORDER },
          // Who gave up one order may have placed and paid another. Guests have no id, but an address.
          { event: 'order.paid', match: { customer_id: '{{trigger.customer_id | default: "none"}}' } },
          {
            event: 'order.paid',
            match: { 'customer.email': '{{trigger.customer.email | default: "none"}}' },
          },
        ],
        timeout: `${values.hours} hours`,
        // An order that is paid at once may be told of together with its payment, in either order.
        look_back: '1 minute',
        on_received: 'settled',
        on_timeout: 'reachable',
      },
      reachableStep('email', CUSTOMER_ADDRESS, 'reminder'),
      messageStep('reminder', { ...values, channel: 'email' }, CUSTOMER_ADDRESS),
      {
        id: 'settled',
        type: 'stop',
        outcome: 'stopped',
        reason: 'The customer paid, or cancelled the order, in time.',
      },
    ],
    settings: { enrolment: onceEach('order') },
  }),
})
