import { JsonInputError, isRawNumber, parseJson } from './json.ts'

/** What a call of an action came to, whoever was called. */
export type ActionCallResult = ActionCallSuccess | ActionCallFailure

export interface ActionCallSuccess {
  ok: true
  status: number
  /** The parsed answer; null when it had no body. */
  data: unknown
}

export interface ActionCallFailure {
  ok: false
  /** Null: there was no answer. */
  status: number | null
  /** An error class of the egress door, or `invalid_response`, `breaker_open`, `platform_not_configured`. */
  code: string
  message: string
  /** Another try may help: no complete answer, 408, 425, 429 or 5xx. */
  transient: boolean
  /** False only if it is certain that nothing was asked of the other side. */
  bytesSent: boolean
  retryAfterMs: number | null
}

/** Answers of actions are kept whole, up to this. */
export const ACTION_RESPONSE_MAX_BYTES = 256 * 1024

/** What the egress door reports, as far as it matters here. */
export interface ActionResponse {
  ok: boolean
  status: number | null
  body: string
  truncated: boolean
  errorClass: string | null
  errorDetail: string | null
  bytesSent: boolean
  retryAfterMs: number | null
}

const TRANSIENT_STATUS = new Set([408, 425, 429])
/** The same again is not answered better. */
const LASTING_CODES = new Set(['blocked', 'redirect', 'response_too_large', 'invalid_response'])
const MESSAGE_MAX_CHARS = 500

/**
 * Reads the answer to an action: 2xx with JSON or nothing is a success, all else a failure with a code.
 *
 * @param clean takes out of a text what may not be in a result
 */
export function readActionResponse(
  response: ActionResponse,
  clean: (text: string) => string = (text) => text,
): ActionCallResult {
  const { status, bytesSent, retryAfterMs } = response
  const failure = (code: string, message: string): ActionCallFailure => ({
    ok: false,
    status,
    code,
    message,
    transient: isTransient(status, code),
    bytesSent,
    retryAfterMs,
  })
  if (!response.ok || status === null) {
    const code = response.errorClass ?? 'protocol_error'
    const said = response.truncated ? null : errorMessage(response.body, clean)
    return failure(code, said ?? response.errorDetail ?? `The call failed: ${code}.`)
  }
  if (response.truncated) {
    return failure('response_too_large', `The answer is larger than ${ACTION_RESPONSE_MAX_BYTES / 1024} KB.`)
  }
  if (response.body.trim() === '') return { ok: true, status, data: null }
  const answer = readJson(response.body)
  return 'fault' in answer
    ? failure('invalid_response', answer.fault)
    : { ok: true, status, data: answer.data }
}

/**
 * Whether a number is beyond what a double can hold. Stored as `jsonb` such a number is written out in full: a few
 * of those short texts would become megabytes.
 */
export function hasHugeNumber(value: unknown): boolean {
  if (isRawNumber(value)) return !Number.isFinite(Number(value.rawJSON))
  return typeof value === 'object' && value !== null && Object.values(value).some(hasHugeNumber)
}

function readJson(body: string): { data: unknown } | { fault: string } {
  let data: unknown
  try {
    data = parseJson(Buffer.from(body))
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    // What a parser says of a syntax error quotes the text, which nobody has looked at.
    if (error.code === 'invalid_json') return { fault: 'The answer is not JSON.' }
    return { fault: `The answer is not acceptable JSON: ${error.detail}` }
  }
  return hasHugeNumber(data) ? { fault: 'The answer has a number beyond 1.8e308.' } : { data }
}

function isTransient(status: number | null, code: string): boolean {
  if (LASTING_CODES.has(code)) return false
  return code !== 'http_4xx' || (status !== null && TRANSIENT_STATUS.has(status))
}

/** The sentence in an error answer, in the shapes that APIs commonly use; null if there is none. */
function errorMessage(body: string, clean: (text: string) => string): string | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null) return null
  const { error, message, detail } = parsed as Record<string, unknown>
  const nested =
    typeof error === 'object' && error !== null ? (error as Record<string, unknown>)['message'] : error
  const found = [detail, message, nested].find((text) => typeof text === 'string' && text !== '')
  if (found === undefined) return null
  const text = clean((found as string).toWellFormed().replaceAll('\0', ''))
  return text.slice(0, MESSAGE_MAX_CHARS).toWellFormed()
}
