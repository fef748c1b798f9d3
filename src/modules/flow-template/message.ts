import { choice, templateLine, templateText, text } from './parameter.ts'
import type { Step } from './template.ts'

/** How a person is reached: where the trigger's data holds the address of each channel. */
export const ADDRESS = { email: 'trigger.email', sms: 'trigger.phone' } as const
export const CUSTOMER_ADDRESS = { email: 'trigger.customer.email', sms: 'trigger.customer.phone' } as const

export type PersonChannel = keyof typeof ADDRESS

export const CHANNEL = choice(
  'Channel',
  'How the message is sent: as an email, or as a text message to the phone number.',
  ['email', 'sms'],
  'email',
)
export const SHOP_NAME = text('Shop name', 'How the shop signs its messages.', 'Your shop')
export const AI_PROMPT = templateText(
  'Prompt',
  'What an AI is to write instead of the body, which is sent when it cannot be asked. Empty: the body is sent.',
  '',
)

export const subject = (fallback: string) => templateLine('Subject', 'The subject of an email.', fallback)
export const body = (fallback: string) => templateText('Body', 'The text of the message.', fallback)

interface Said {
  channel: PersonChannel
  subject: string
  body: string
  ai_prompt: string
}

/** Says something to a person. A text message has no subject. */
export function messageStep(
  id: string,
  said: Said,
  address: Readonly<Record<PersonChannel, string>>,
  next: 'end' | (string & {}) = 'end',
): Step {
  return {
    id,
    type: 'message',
    channel: said.channel,
    to: `{{${address[said.channel]}}}`,
    ...(said.channel === 'email' && { subject: said.subject }),
    body: said.body,
    ...(said.ai_prompt !== '' && { ai: { prompt: said.ai_prompt } }),
    on_success: next,
  }
}

/** Whoever has no address on the channel gets nothing, which is no failure. */
export function isReachable(
  channel: PersonChannel,
  address: Readonly<Record<PersonChannel, string>>,
): { field: string; operator: 'is_not_empty' } {
  return { field: address[channel], operator: 'is_not_empty' }
}

/** Goes on to the next step with who is reachable, and ends for everybody else. */
export function reachableStep(
  channel: PersonChannel,
  address: Readonly<Record<PersonChannel, string>>,
  next: string,
): Step {
  return {
    id: 'reachable',
    type: 'condition',
    condition: isReachable(channel, address),
    on_true: next,
    on_false: 'end',
  }
}
