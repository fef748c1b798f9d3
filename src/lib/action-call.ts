import { JsonInputError, parseJson } from './json.ts'

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
  /** Another try may help: no answer, 408, 425, 429 or 5xx. */
  transient: boolean
  /** False only if it is certain that nothing was asked of the other side. */
  bytesSent: boolean
  retryAfterMs: number | null
}

/** Answers of actions are kept whole, up to this. */
export const ACTION_RESPONSE_MAX_BYTES = 256 * 1024

/** What the egress door reports, as far as it matters here. */
interface Response {
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
const MESSAGE_MAX_CHARS = 500

/** Reads the answer to an action: 2xx with JSON or nothing is a success, all else a failure with a code. */
export function readActionResponse(response: Response): ActionCallResult {
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
  if (response.truncated) {
    return failure('response_too_large', `The answer is larger than ${ACTION_RESPONSE_MAX_BYTES / 1024} KB.`)
  }
  if (!response.ok || status === null) {
    const code = response.errorClass ?? 'protocol_error'
    return failure(code, errorMessage(response.body) ?? response.errorDetail ?? `The call failed: ${code}.`)
  }
  if (response.body.trim() === '') return { ok: true, status, data: null }
  try {
    return { ok: true, status, data: parseJson(Buffer.from(response.body)) }
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    return failure('invalid_response', `The answer is not acceptable JSON: ${error.detail}`)
  }
}

function isTransient(status: number | null, code: string): boolean {
  if (code === 'blocked' || code === 'response_too_large' || code === 'invalid_response') return false
  return status === null || status >= 500 || TRANSIENT_STATUS.has(status)
}

/** The sentence in an error answer, in the shapes that APIs commonly use; null if there is none. */
function errorMessage(body: string): string | null {
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
  return found === undefined
    ? null
    : (found as string).toWellFormed().replaceAll('\0', '').slice(0, MESSAGE_MAX_CHARS)
}
