import { PLACEHOLDER } from '#lib/template-text.ts'
import { choice, templateLine, templateText, text } from './parameter.ts'
import type { Step } from './template.ts'

/** The paths in the trigger's data of a person's address on each channel. */
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
  return { format, body: format === 'html' && !holdsMarkup(body) ? linesAsHtml(body) : body }
}

/** Returns whether text holds a tag of HTML; what stands in expressions is no part of it. */
function holdsMarkup(body: string): boolean {
  const text = body.replaceAll(PLACEHOLDER, ' ')
  const first = text.search(/<[a-z]/i)
  return first !== -1 && text.includes('>', first)
}

/** A tag that stands alone on its line has none in the end, and gets no break. */
function linesAsHtml(body: string): string {
  const placeholders = body.match(PLACEHOLDER) ?? []
  const texts = body.split(PLACEHOLDER)
  return texts
    .map((text, index) => {
      const placeholder = placeholders[index - 1] ?? ''
      const isBehindTag = placeholder.startsWith('{%') && /(?:^|\n)[ \t]*$/.test(texts[index - 1] ?? '')
      const [rest = ''] = isBehindTag ? (/^[ \t]*\r?\n/.exec(text) ?? []) : []
      return placeholder + rest + textAsHtml(text.slice(rest.length))
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
