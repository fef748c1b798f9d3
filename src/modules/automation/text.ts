import { type Definition, defineFlow } from '#modules/flow-template/index.ts'
import type { AutomationFields, AutomationTrigger } from './fields.ts'

export interface MessageText {
  subject: string
  body: string
}

/** Returns the ready-made text, for an automation without one of its own. */
export function readyMadeText({ type, trigger, channel, delay_hours }: AutomationFields): MessageText {
  if (channel === 'notification') return TO_THE_TEAM[trigger]
  switch (type) {
    case 'booking_reminder':
      return textOf('booking_reminder', 'reminder')
    case 'booking_confirmation':
      return textOf('booking_confirmation', 'confirmation')
    case 'post_session':
      return textOf('post_session', 'question')
    case 'lead_followup':
    case 'crm_update':
      if (trigger === 'message_received') return RECEIVED
      if (trigger === 'new_lead' && delay_hours === 0) return textOf('lead_welcome', 'welcome')
      return textOf('lead_follow_up', isLate(delay_hours) ? 'second' : 'first')
  }
}

/** A week. */
const LATE_HOURS = 168

const RECEIVED: MessageText = {
  subject: 'We have received your message',
  body:
    'Hello,\n\nthank you for your message. We will come back to you shortly.\n\n' + '{{variables.shop_name}}',
}

const LEAD = '{{trigger.name | default: trigger.lead_id}}'
const CUSTOMER = '{{trigger.customer.name | default: "a customer"}}'

const TO_THE_TEAM: Readonly<Record<AutomationTrigger, MessageText>> = {
  new_lead: { subject: `New lead: ${LEAD}`, body: `${LEAD} showed interest.` },
  status_changed: {
    subject: `Lead ${LEAD}: {{trigger.status | default: "another status"}}`,
    body: `${LEAD} went from {{trigger.previous_status | default: "another status"}} to {{trigger.status | default: "another"}}.`,
  },
  message_received: {
    subject: 'Message from {{trigger.from}}',
    body: '{{trigger.text | default: "It has no text."}}',
  },
  no_contact: { subject: `No contact with ${LEAD}`, body: `Nobody has been in contact with ${LEAD} so far.` },
  before_booking: {
    subject: `Appointment with ${CUSTOMER}`,
    body: `The appointment with ${CUSTOMER} is at {{trigger.starts_at}}.`,
  },
  after_booking: {
    subject: `Appointment with ${CUSTOMER}`,
    body: `The appointment with ${CUSTOMER}: {{trigger.status | default: "made"}}.`,
  },
}

/** After so long without a word a lead is not asked the same as at first. */
function isLate(delayHours: number): boolean {
  return delayHours >= LATE_HOURS
}

function textOf(template: string, step: string): MessageText {
  const { steps } = defineFlow(template, {}) as unknown as Definition
  const found = steps.find(({ id }) => id === step)
  if (found === undefined) throw new Error(`the template ${template} has no step ${step}`)
  return { subject: String(found['subject']), body: String(found['body']) }
}
