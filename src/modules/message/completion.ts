import { parseStoredJson } from '#lib/json/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { type Fallback, fallback } from './fallback.ts'

/** What some models write before their answer, for themselves. */
const THOUGHTS = /^\s*<think>[\s\S]*?<\/think>/
const OPEN_THOUGHTS = /^\s*<think>/

/** The text of the first choice of a chat completion. Strict: what is half right is no message to a customer. */
export function readCompletion(body: string): { text: string } | Fallback {
  const choice = firstChoice(body)
  if (choice === null) return fallback('invalid_response', 'the answer is not a chat completion')
  const { finish_reason: finish, message } = choice
  if (finish === 'content_filter') return fallback('refused', 'finish_reason content_filter')
  if (typeof message['refusal'] === 'string' && message['refusal'] !== '') {
    return fallback('refused', 'the model declined')
  }
  const { content } = message
  if (content === null || content === undefined) return fallback('empty', 'there is no content')
  if (typeof content !== 'string') return fallback('invalid_response', 'the content is not text')
  if (finish === 'length') return fallback('too_long', 'cut off at max_tokens')
  const answer = content.replace(THOUGHTS, '')
  if (OPEN_THOUGHTS.test(answer)) return fallback('invalid_response', 'the model did not come to an answer')
  const text = plainText(answer)
  return text === '' ? fallback('empty', 'the content is empty') : { text }
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
