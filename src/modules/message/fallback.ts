/** The reasons why a message that an AI was to write was written by its template. */
export const FALLBACK_REASONS = [
  /** There is no AI_BASE_URL. */
  'not_configured',
  /** The step names a model that AI_MODEL does not list. */
  'model_not_allowed',
  /** A value in the prompt is missing, or the prompt is too long. */
  'invalid_prompt',
  /** So many messages are being written that no turn came within AI_TIMEOUT_MS. */
  'busy',
  /** The API has been failing and is given a pause. */
  'unavailable',
  /** No complete answer within AI_TIMEOUT_MS. */
  'timeout',
  /** No connection came about, or it broke. */
  'unreachable',
  /** An answer with another status than 2xx. */
  'http_error',
  /** The answer is not what the protocol says, or far too large. */
  'invalid_response',
  /** The model declined, or its provider filtered the answer. */
  'refused',
  /** There is no text in the answer. */
  'empty',
  /** The model used up all tokens before it came to an answer. */
  'out_of_tokens',
  /** The text was cut off at max_tokens, or is too long for the channel. */
  'too_long',
] as const
export type FallbackReason = (typeof FALLBACK_REASONS)[number]

export interface Fallback {
  reason: FallbackReason
  /** For the log of the service: free of secrets and of what the prompt or the answer says. */
  detail: string
  /** The API's own error: kept with the message. Left out: nothing. */
  provider?: { status: number | null; code: string | null; message: string }
}

export function fallback(reason: FallbackReason, detail: string, provider?: Fallback['provider']): Fallback {
  return provider === undefined ? { reason, detail } : { reason, detail, provider }
}

/** Returns the detail for those who read the message. Null: the reason says it all. */
export function detailOf({ reason, detail, provider }: Fallback): string | null {
  if (provider === undefined) return reason === 'not_configured' ? null : detail
  const head = [provider.status === null ? null : `status ${provider.status}`, provider.code]
  return `${head.filter((each) => each !== null).join(' ')}: ${provider.message}`
}
