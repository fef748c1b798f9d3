import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { Parts } from '../message-send.ts'
import { isBlank, readSendWith, resolveSender, sendConfig } from '../message-send.ts'
import type { Reader } from '../reader.ts'
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
} from '../reader.ts'
import { readTemplateText, readValueText } from '../template.ts'
import { suggest } from '#lib/flow/suggest.ts'
import type { MessageChannel, MessageConfig, MessageFormat, MessagePrompt } from '#lib/flow/types.ts'
import { MESSAGE_CHANNELS, MESSAGE_FORMATS } from '#lib/flow/types.ts'

const MODEL_MAX_CHARS = 200
const MAX_TOKENS = { min: 1, max: 4_000, fallback: 400 }

/**
 * Reads a message. What its action is given is written out as a template tree, in which the finished message is the
 * step's own output: `{{steps.<own id>.output.body}}`.
 */
export function readMessage(reader: Reader): MessageConfig | null {
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
