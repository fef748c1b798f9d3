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
import { defineTemplate, idOf, onceEach, onEvent } from '../template.ts'

/** Tells one parcel of an order from another. */
const TRACKING_NUMBER = 'trigger.shipment.tracking_number'

export const orderShipped = defineTemplate({
  id: 'order_shipped',
  title: 'Tell that an order is on its way',
  description:
    'Writes to the customer when an order leaves the warehouse, once for each parcel, with the tracking number.',
  category: 'orders',
  parameters: {
    subject: subject('Your order {{trigger.number | default: ""}} is on its way'),
    body: body(
      'Hello {{trigger.customer.name | default: "there"}},\n\nyour order has left our warehouse.\nCarrier: ' +
        '{{trigger.shipment.carrier | default: "not known"}}\nTracking number: ' +
        '{{trigger.shipment.tracking_number | default: "none"}}\n{{trigger.shipment.tracking_url | default: ""}}\n\n' +
        '{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  build: (values) => ({
    triggers: [onEvent('order.shipped')],
    variables: { shop_name: values.shop_name },
    steps: [
      reachableStep('email', CUSTOMER_ADDRESS, 'notice'),
      messageStep('notice', { ...values, channel: 'email' }, CUSTOMER_ADDRESS),
    ],
    settings: {
      enrolment: { ...onceEach('order'), key: `{{${idOf('order')}}} {{${TRACKING_NUMBER} | default: ""}}` },
    },
  }),
})
