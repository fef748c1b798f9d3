import { messageStep, type Step } from '#modules/flow-template/index.ts'
import type { AutomationFields } from './fields.ts'
import type { Addresses } from './start.ts'
import { readyMadeText } from './text.ts'

/** Says what the automation says: to the person, or by a notification to the team. */
export function sayStep(id: string, fields: AutomationFields, addresses: Addresses): Step {
  const { channel, ai_prompt } = fields
  const ready = readyMadeText(fields)
  const subject = fields.subject ?? ready.subject
  const body = fields.template ?? ready.body
  if (channel !== 'notification') {
    return messageStep(id, { channel, subject, body, ai_prompt: ai_prompt ?? '' }, addresses)
  }
  return {
    id,
    type: 'message',
    channel,
    subject,
    body,
    ...(ai_prompt !== null && { ai: { prompt: ai_prompt } }),
    on_success: 'end',
  }
}
