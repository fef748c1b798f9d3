import { contactedStep, messageStep, type Step } from '#modules/flow-template/index.ts'
import type { AutomationFields } from './fields.ts'
import { subjectOf } from './record.ts'
import type { Addresses } from './start.ts'
import { readyMadeText } from './text.ts'

const CONTACTED = 'contacted'

/** Says what the automation says, and where that is to a lead, writes down that it was contacted. */
export function saySteps(id: string, fields: AutomationFields, addresses: Addresses): Step[] {
  const after = fields.channel === 'notification' ? [] : contactSteps(fields)
  return [sayStep(id, fields, addresses, after[0]?.id ?? 'end'), ...after]
}

/** To the person, or by a notification to the team. */
function sayStep(id: string, fields: AutomationFields, addresses: Addresses, next: string): Step {
  const { channel, ai_prompt } = fields
  const ready = readyMadeText(fields)
  const subject = fields.subject ?? ready.subject
  const body = fields.template ?? ready.body
  if (channel !== 'notification') {
    return messageStep(id, { channel, subject, body, ai_prompt: ai_prompt ?? '' }, addresses, next)
  }
  return {
    id,
    type: 'message',
    channel,
    subject,
    body,
    ...(ai_prompt !== null && { ai: { prompt: ai_prompt } }),
    on_success: next,
  }
}

/** Lets only leads pass: the writer of a message need not be one. A switch, as what ends at a condition counts as filtered. */
function contactSteps({ trigger }: AutomationFields): Step[] {
  switch (subjectOf(trigger)) {
    case 'lead':
      return [contactedStep(CONTACTED)]
    case 'message': {
      const condition = { field: 'trigger.lead_id', operator: 'is_not_empty' }
      const ofLead: Step = {
        id: 'of_lead',
        type: 'switch',
        cases: [{ name: 'lead', condition }],
        on_lead: CONTACTED,
        on_default: 'end',
      }
      return [ofLead, contactedStep(CONTACTED)]
    }
    case 'booking':
      return []
  }
}
