import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { ActionConfig, MessageChannel, MessageFormat, StepBase, TemplateText } from '../elements.ts'
import { MESSAGE_CHANNELS, MESSAGE_FORMATS } from '../elements.ts'
import type { Parts } from '../read/message-send.ts'
import { isBlank, messageAction, readSendWith, resolveSender, sendConfig } from '../read/message-send.ts'
import type { Reader } from '../read/reader.ts'
import {
  at,
  createReader,
  finish,
  has,
  readBoolean,
  readChoice,
  readInteger,
  report,
  take,
} from '../read/reader.ts'
import { readTemplateText, readValueText } from '../read/template.ts'
import { suggest } from '../suggest.ts'
import { NO_REFERENCES, type DefinitionOf, USUAL } from './definition.ts'
import { ACTION_NAME } from './member-schemas.ts'

const MODEL_MAX_CHARS = 200
const MAX_TOKENS = { min: 1, max: 4_000, fallback: 400 }

/** Asks an OpenAI-compatible endpoint to write. */
interface MessagePrompt {
  prompt: TemplateText
  /** Null: the operator's. */
  model: string | null
  max_tokens: number
}
interface MessageConfig {
  channel: MessageChannel
  /** Null, of a notification alone: everybody who gets the shop's notifications. */
  to: TemplateText | null
  subject: TemplateText | null
  /** With `ai`, the text that is sent when it cannot be asked or gives no usable answer. */
  body: TemplateText
  /** In HTML, values are escaped. Left out: text. */
  format?: MessageFormat
  /** It is held back during the tenant's quiet hours. */
  respect_quiet_hours?: true
  ai: MessagePrompt | null
  /** The action that sends it. In its input the finished message is the step's own output. */
  send_with: ActionConfig
}
export type MessageStep = StepBase<'message', MessageConfig, 'success' | 'error'>

export const messageStep: DefinitionOf<MessageStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Writes an email, text message or notification, and sends it.',
    properties: {
      channel: { type: 'string', enum: [...MESSAGE_CHANNELS] },
      to: { type: 'string', description: 'A template or path. A notification without it is for everybody.' },
      subject: { type: 'string', description: 'Of an email or a notification.' },
      body: { type: 'string', description: 'With `ai`, what is sent when no AI can be asked.' },
      format: { type: 'string', enum: [...MESSAGE_FORMATS], default: 'text', description: 'Of an email.' },
      respect_quiet_hours: {
        type: 'boolean',
        default: false,
        description: 'It is held back during the shop’s quiet hours.',
      },
      ai: {
        type: 'object',
        properties: {
          prompt: { type: 'string' },
          model: { type: 'string', maxLength: MODEL_MAX_CHARS },
          max_tokens: {
            type: 'integer',
            minimum: MAX_TOKENS.min,
            maximum: MAX_TOKENS.max,
            default: MAX_TOKENS.fallback,
          },
        },
        required: ['prompt'],
        additionalProperties: false,
      },
      send_with: {
        type: 'object',
        description: 'The action that sends it. Left out: the platform’s for the channel.',
        properties: { ...ACTION_NAME, input: { type: 'object' } },
        additionalProperties: false,
      },
    },
    required: ['channel', 'body'],
    examples: [
      {
        type: 'message',
        channel: 'email',
        to: '{{trigger.email}}',
        subject: 'Thank you',
        body: 'Dear {{trigger.name}}, we have your order.',
        ai: { prompt: 'Thank {{trigger.name}} for the order.' },
        send_with: { plugin_id: 'platform', action_id: 'send_email' },
      },
    ],
  },
  read: readMessage,
  ports: () => ['success', 'error'],
  goesOn: ['success'],
  calls: true,
  causes: 'nothing',
  actionOf: ({ send_with }) => send_with,
  references: (members) => ({
    ...NO_REFERENCES,
    action: messageAction(members),
    pluginHolders: [members['send_with']],
  }),
}

/**
 * Reads a message. Its action's input is written out as a template tree, in which the finished message is the step's
 * own output: `{{steps.<own id>.output.body}}`.
 */
function readMessage(reader: Reader): MessageConfig | null {
  const channel = readChannel(reader)
  const parts: Parts = {
    to: readValueText(reader, 'to'),
    subject: readTemplateText(reader, 'subject'),
    body: readTemplateText(reader, 'body'),
  }
  const format = readFormat(reader, channel)
  const respectsQuietHours = readBoolean(reader, 'respect_quiet_hours', false)
  const prompt = readPrompt(reader)
  const sendWith = readSendWith(reader)
  if (channel === null) return null
  if (channel === 'sms' && parts.subject !== null) {
    report(reader, 'invalid_value', at(reader, 'subject'), 'Remove "subject": a text message has none.')
  }
  const lacksRecipient = channel !== 'notification' && isBlank(parts.to)
  if (lacksRecipient) {
    const message = 'Add "to", such as "{{trigger.email}}": somebody has to get the message.'
    report(reader, 'missing_property', at(reader, 'to'), message)
  }
  if (parts.body === null || isBlank(parts.body)) {
    const message = 'Add "body", the text of the message: it is also what is sent when no AI can be asked.'
    report(reader, 'missing_property', at(reader, 'body'), message)
    return null
  }
  if (lacksRecipient || sendWith === null) return null
  const action = resolveSender(reader, sendWith, channel)
  if (action === null) return null
  const config = sendConfig(reader, sendWith, action, { channel, format }, parts)
  const { to, subject, body } = parts
  return {
    channel,
    to,
    subject,
    body,
    ...(format !== null && { format }),
    ...(respectsQuietHours && { respect_quiet_hours: true }),
    ai: prompt,
    send_with: config,
  }
}

function readChannel(reader: Reader): MessageChannel | null {
  const sent = take(reader, 'channel')
  const channel = MESSAGE_CHANNELS.find((each) => each === sent)
  if (channel !== undefined) return channel
  const near = typeof sent === 'string' ? suggest(sent, MESSAGE_CHANNELS) : null
  const hint = near === null ? '' : ` Did you mean "${near}"?`
  const code = sent === undefined ? 'missing_property' : 'invalid_value'
  const message = `Give "channel" one of ${MESSAGE_CHANNELS.join(', ')}.${hint}`
  report(reader, code, at(reader, 'channel'), message)
  return null
}

/** Null: left out, which is text as well, in whatever field the action has for it. */
function readFormat(reader: Reader, channel: MessageChannel | null): MessageFormat | null {
  if (!has(reader, 'format')) return null
  const format = readChoice(reader, 'format', MESSAGE_FORMATS, 'text')
  if (format === 'text' || channel === 'email' || channel === null) return format
  report(reader, 'invalid_value', at(reader, 'format'), 'Remove "format": only an email can be HTML.')
  return null
}

function readPrompt(reader: Reader): MessagePrompt | null {
  const sent = take(reader, 'ai')
  const path = at(reader, 'ai')
  if (sent === undefined) return null
  if (!isPlainObject(sent)) {
    report(reader, 'malformed', path, 'Write it as "ai": { "prompt": "Thank {{trigger.name}} …" }.')
    return null
  }
  const inner = createReader(reader.compilation, sent, path, reader.stepId)
  const prompt = readTemplateText(inner, 'prompt')
  const maxTokens = readInteger(inner, 'max_tokens', MAX_TOKENS)
  const model = take(inner, 'model')
  finish(inner)
  if (prompt === null || isBlank(prompt)) {
    const message = 'Say in "prompt" what the AI is to write, or remove "ai".'
    report(inner, 'missing_property', at(inner, 'prompt'), message)
    return null
  }
  if (model !== undefined && (typeof model !== 'string' || model === '' || model.length > MODEL_MAX_CHARS)) {
    report(inner, 'invalid_value', at(inner, 'model'), 'Give "model" the name of a model, or leave it out.')
    return null
  }
  return { prompt, model: model ?? null, max_tokens: maxTokens }
}
