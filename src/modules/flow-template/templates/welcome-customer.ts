import {
  ADDRESS,
  AI_PROMPT,
  body,
  CHANNEL,
  FORMAT,
  messageStep,
  reachableStep,
  SHOP_NAME,
  subject,
} from '../message.ts'
import { defineTemplate, onceEach, onEvent } from '../template.ts'

export const welcomeCustomer = defineTemplate({
  id: 'welcome_customer',
  title: 'Welcome new customers',
  description: 'Greets everybody who becomes a customer, once.',
  category: 'customers',
  parameters: {
    channel: CHANNEL,
    subject: subject('Welcome, {{trigger.name | default: "and thank you"}}!'),
    body: body(
      'Hello {{trigger.name | default: "and welcome"}},\n\nit is good to have you with us. If there is anything ' +
        'that you would like to know, just answer this message.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  build: (values) => ({
    triggers: [onEvent('customer.created')],
    variables: { shop_name: values.shop_name },
    steps: [reachableStep(values.channel, ADDRESS, 'welcome'), messageStep('welcome', values, ADDRESS)],
    settings: { enrolment: onceEach('customer') },
  }),
})
