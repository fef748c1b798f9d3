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
export const FORMAT = choice(
  'Format',
  'What an email is: text, or HTML in which names and all other values are escaped. A body without markup becomes ' +
    'HTML line by line. A text message is always text.',
  ['text', 'html'],
  'text',
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
  /** Left out: the action that sends decides how it takes a body. */
  format?: 'text' | 'html'
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
    ...bodyOf(said),
    ...(said.ai_prompt !== '' && { ai: { prompt: said.ai_prompt } }),
    on_success: next,
  }
}

/** Markup in the text itself is the author's: whoever writes some has written all of it. */
function bodyOf({ channel, body, format }: Said): { body: string; format?: 'text' | 'html' } {
  if (channel !== 'email' || format === undefined) return { body }
  const isMarkup = /<[a-z][^>]*>/i.test(body)
  return { format, body: format === 'html' && !isMarkup ? linesAsHtml(body) : body }
}

/** A tag that stands alone on its line has none in the end, and gets no break. */
function linesAsHtml(body: string): string {
  const parts = body.split(/(\{\{.*?\}\}|\{%.*?%\})/s)
  return parts
    .map((part, index) => {
      if (index % 2 === 1) return part
      const isBehindTag =
        parts[index - 1]?.startsWith('{%') === true && /(?:^|\n)[ \t]*$/.test(parts[index - 2] ?? '')
      const [rest = ''] = isBehindTag ? (/^[ \t]*\r?\n/.exec(part) ?? []) : []
      return rest + textAsHtml(part.slice(rest.length))
    })
    .join('')
}

function textAsHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll(/\r?\n/g, '<br>\n')
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
