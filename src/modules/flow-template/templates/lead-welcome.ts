import { contactedStep } from '../lead.ts'
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

export const leadWelcome = defineTemplate({
  id: 'lead_welcome',
  title: 'Answer new leads',
  description: 'Thanks everybody who shows interest, as soon as they do.',
  category: 'leads',
  parameters: {
    channel: CHANNEL,
    subject: subject('Thank you for your interest, {{trigger.name | default: "we will be in touch"}}'),
    body: body(
      'Hello {{trigger.name | default: "there"}},\n\nthank you for getting in touch. We will come back to you ' +
        'shortly. If it is urgent, just answer this message.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  build: (values) => ({
    triggers: [onEvent('lead.created')],
    variables: { shop_name: values.shop_name },
    steps: [
      reachableStep(values.channel, ADDRESS, 'welcome'),
      messageStep('welcome', values, ADDRESS, 'contacted'),
      contactedStep('contacted'),
    ],
    settings: { enrolment: onceEach('lead') },
  }),
})
