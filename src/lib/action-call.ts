import type { CallErrorCode } from '#lib/error-codes.ts'
import { JsonInputError, parseJson } from '#lib/json/index.ts'

/** The result of one call of an action, by the platform or a plugin. */
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
  /** The other side's own code of the error, bounded; null: its answer has none. */
  reportedCode: string | null
  message: string
  /** Another try may help: no complete answer, 408, 425, 429 or 5xx. */
  transient: boolean
  /** False only if it is certain that nothing was asked of the other side. */
  bytesSent: boolean
  retryAfterMs: number | null
}

/** A call that was not made: nothing was asked of the other side, and asking again helps nothing unless it is said. */
export function notAsked(
  code: CallErrorCode | 'blocked',
  message: string,
  { transient = false, retryAfterMs = null }: { transient?: boolean; retryAfterMs?: number | null } = {},
): ActionCallFailure {
  return {
    ok: false,
    status: null,
    code,
    reportedCode: null,
    message,
    transient,
    bytesSent: false,
    retryAfterMs,
  }
}

/** Answers of actions are kept whole, up to this. */
export const ACTION_RESPONSE_MAX_BYTES = 256 * 1024

/** The part of the egress door's answer that matters here. */
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
/** A name, fit for a log and a comparison: nothing that a foreign body could hide text in. */
const REPORTED_CODE = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/

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
    reportedCode: null,
    message,
    transient: isTransient(status, code),
    bytesSent,
    retryAfterMs,
  })
  if (!response.ok || status === null) {
    const code = response.errorClass ?? 'protocol_error'
    const said = response.truncated ? null : readError(response.body)
    const reportedCode = said && errorCode(said, clean, status)
    const message = said && errorMessage(said, clean)
    return {
      ...failure(code, message ?? response.errorDetail ?? `The call failed: ${code}.`),
      reportedCode,
    }
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

function readJson(body: string): { data: unknown } | { fault: string } {
  let data: unknown
  try {
    data = parseJson(Buffer.from(body), { numbers: 'text' })
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    // A parser's message on a syntax error quotes the text, which nobody has looked at.
    if (error.code === 'invalid_json') return { fault: 'The answer is not JSON.' }
    return { fault: `The answer is not acceptable JSON: ${error.detail}` }
  }
  return { data }
}

function isTransient(status: number | null, code: string): boolean {
  if (LASTING_CODES.has(code)) return false
  return code !== 'http_4xx' || (status !== null && TRANSIENT_STATUS.has(status))
}

/** An error answer's members, those of a nested `error` apart; null if it has none. */
interface ErrorAnswer {
  own: Record<string, unknown>
  nested: Record<string, unknown>
}

/** Reads the shapes that APIs commonly use: `{ error: { code, message } }`, problem+json, `{ error: "text" }`. */
function readError(body: string): ErrorAnswer | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null) return null
  const own = parsed as Record<string, unknown>
  const { error } = own
  return {
    own,
    nested: typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {},
  }
}

function errorMessage({ own, nested }: ErrorAnswer, clean: (text: string) => string): string | null {
  const candidates = [own['detail'], own['message'], nested['message'], own['error'], own['title']]
  const found = candidates.find((text) => typeof text === 'string' && text !== '')
  if (found === undefined) return null
  const text = clean((found as string).toWellFormed().replaceAll('\0', ''))
  return text.slice(0, MESSAGE_MAX_CHARS).toWellFormed()
}

/** A number that only repeats the status says nothing more. */
function errorCode(
  { own, nested }: ErrorAnswer,
  clean: (text: string) => string,
  status: number | null,
): string | null {
  for (const code of [nested['code'], own['code']]) {
    const text = Number.isSafeInteger(code) ? String(code) : code
    if (typeof text !== 'string' || text === String(status)) continue
    if (REPORTED_CODE.test(text) && clean(text) === text) return text
  }
  return null
}
