import { contactedStep, LEAD_CONTACT } from '../lead.ts'
import { pointerTo } from '../read-parameters.ts'
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
import { integer } from '../parameter.ts'
import { defineTemplate, onceEach, onEvent } from '../template.ts'

export const leadFollowUp = defineTemplate({
  id: 'lead_follow_up',
  title: 'Follow up on quiet leads',
  description:
    'Writes to a lead some days after it came, and a second time, unless there was contact: the lead wrote, ' +
    "somebody of the shop wrote, or its status changed. Automations' own messages are no contact.",
  category: 'leads',
  parameters: {
    first_days: integer('First after days', 'Days without contact before the first message.', {
      default: 3,
      minimum: 1,
      maximum: 180,
    }),
    second_days: integer('Second after days', 'Days without contact before the second message.', {
      default: 7,
      minimum: 2,
      maximum: 365,
    }),
    channel: CHANNEL,
    first_subject: subject('Do you have any questions?'),
    first_body: body(
      'Hello {{trigger.name | default: "there"}},\n\nyou asked us something a few days ago. Is there anything that ' +
        'we can help you with?\n\n{{variables.shop_name}}',
    ),
    second_subject: subject('Are you still interested?'),
    second_body: body(
      'Hello {{trigger.name | default: "there"}},\n\nwe have not heard from you, so this is our last message for ' +
        'now. Whenever you like, just answer it.\n\n{{variables.shop_name}}',
    ),
    format: FORMAT,
    ai_prompt: AI_PROMPT,
    shop_name: SHOP_NAME,
  },
  check: ({ first_days, second_days }) =>
    second_days > first_days
      ? []
      : [
          {
            pointer: pointerTo('second_days'),
            detail: `must be more than first_days, which is ${first_days}`,
          },
        ],
  build: (values) => ({
    triggers: [onEvent('lead.created')],
    variables: { shop_name: values.shop_name },
    steps: [
      reachableStep(values.channel, ADDRESS, 'first_wait'),
      { id: 'first_wait', type: 'delay', duration: `${values.first_days} days`, next: 'first' },
      messageStep(
        'first',
        { ...values, subject: values.first_subject, body: values.first_body },
        ADDRESS,
        'first_contacted',
      ),
      contactedStep('first_contacted', 'second_wait'),
      {
        id: 'second_wait',
        type: 'delay',
        duration: `${values.second_days - values.first_days} days`,
        next: 'second',
      },
      messageStep(
        'second',
        { ...values, subject: values.second_subject, body: values.second_body },
        ADDRESS,
        'second_contacted',
      ),
      contactedStep('second_contacted'),
    ],
    settings: { enrolment: { ...onceEach('lead'), cancel_on: LEAD_CONTACT } },
  }),
})
