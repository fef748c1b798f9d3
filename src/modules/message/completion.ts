import { parseStoredJson } from '#lib/json/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { type Fallback, fallback } from './fallback.ts'

/** Text that some models write before their answer, for themselves. */
const THOUGHTS = /^\s*<think>[\s\S]*?<\/think>/
const OPEN_THOUGHTS = /^\s*<think>/

/** By which servers of the protocol say that the model came to its end. Of anything else the text may be half an answer. */
const ENDS = new Set(['', 'stop', 'eos', 'eos_token', 'stop_sequence', 'end_turn'])

/** The text of the first choice of a chat completion. Strict: a half-right answer is no message to a customer. */
export function readCompletion(body: string): { text: string } | Fallback {
  const choice = firstChoice(body)
  if (choice === null) return fallback('invalid_response', 'the answer is not a chat completion')
  const { finish_reason: finish, message } = choice
  if (finish === 'content_filter') return fallback('refused', 'finish_reason content_filter')
  if (typeof message['refusal'] === 'string' && message['refusal'] !== '') {
    return fallback('refused', 'the model declined')
  }
  const content = textOf(message['content'])
  if (content === REFUSED) return fallback('refused', 'the model declined')
  if (content === undefined) return fallback('invalid_response', 'the content is not text')
  const answer = content.replace(THOUGHTS, '')
  const isThinking = OPEN_THOUGHTS.test(answer)
  if (finish === 'length') {
    if (isThinking || answer.trim() === '')
      return fallback('out_of_tokens', 'finish_reason length, and no text')
    return fallback('too_long', 'cut off at max_tokens')
  }
  if (isThinking) return fallback('invalid_response', 'the model did not come to an answer')
  const text = plainText(answer)
  if (text === '') return fallback('empty', 'the content is empty')
  const end = typeof finish === 'string' ? finish : finish == null ? '' : JSON.stringify(finish)
  return ENDS.has(end.toLowerCase())
    ? { text }
    : fallback('invalid_response', `finish_reason ${end.slice(0, 50)}`)
}

const REFUSED = Symbol('refused')

/** Content is text, or a list of parts of which those of the type `text` are the answer. Undefined: neither. */
function textOf(content: unknown): string | typeof REFUSED | undefined {
  if (content === null || content === undefined) return ''
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  let text = ''
  for (const part of content as unknown[]) {
    if (!isPlainObject(part) || typeof part['type'] !== 'string') return undefined
    if (part['type'] === 'refusal') return REFUSED
    if (part['type'] !== 'text') continue
    if (typeof part['text'] !== 'string') return undefined
    text += part['text']
  }
  return text
}

function firstChoice(body: string): { finish_reason: unknown; message: Record<string, unknown> } | null {
  let answer: unknown
  try {
    answer = parseStoredJson(body)
  } catch {
    return null
  }
  const choices = isPlainObject(answer) ? answer['choices'] : null
  const choice: unknown = Array.isArray(choices) ? choices[0] : null
  if (!isPlainObject(choice) || !isPlainObject(choice['message'])) return null
  return { finish_reason: choice['finish_reason'], message: choice['message'] }
}

/** Text that Postgres and every channel can carry: line ends and tabs are the only control characters. */
function plainText(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]/gu, '')
    .trim()
}
