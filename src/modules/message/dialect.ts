import { parseStoredJson } from '#lib/json/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'

/**
 * The form of request that an endpoint takes for one model: learned from its refusals, as no list of models stays
 * true.
 */
export interface Dialect {
  /** The member that limits the length of an answer; null: nothing limits it. */
  limit: 'max_completion_tokens' | 'max_tokens' | null
  /** The endpoint takes a message of the role `system`. */
  hasSystem: boolean
  /** The model thinks before it answers, and its thoughts count as part of the answer's length. */
  thinks: boolean
}

export const FIRST_DIALECT: Dialect = { limit: 'max_completion_tokens', hasSystem: true, thinks: false }

/** The tokens that a thinking model may use before its answer. */
const THINKING_TOKENS = 8_000

export interface Asked {
  model: string
  maxTokens: number
  system: string
  user: string
}

/** The request's body: nothing that is not needed, as there is always an endpoint that refuses it. */
export function requestBody({ model, maxTokens, system, user }: Asked, dialect: Dialect): string {
  const messages = dialect.hasSystem
    ? [
        { role: 'system', content: system },
        { role: 'user', content: user },
      ]
    : [{ role: 'user', content: `${system}\n\n${user}` }]
  const most = maxTokens + (dialect.thinks ? THINKING_TOKENS : 0)
  return JSON.stringify({ model, messages, ...(dialect.limit !== null && { [dialect.limit]: most }) })
}

/** A provider's error, read from any of the usual shapes. */
export interface ProviderError {
  status: number | null
  /** A name, such as `unsupported_parameter`; null: none. */
  code: string | null
  message: string
  /** The member of the request that it is about. */
  param: string
}

const CODE = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/

/**
 * Reads `{ error: { message, code, type, param } }` (OpenAI, Azure, OpenRouter, Ollama, newer vLLM), the same members at
 * the top (older vLLM), and `{ error: "text" }`. Null: it says nothing.
 */
export function readProviderError(body: string, status: number | null): ProviderError | null {
  let parsed: unknown
  try {
    parsed = parseStoredJson(body)
  } catch {
    return null
  }
  if (!isPlainObject(parsed)) return null
  const { error } = parsed
  if (typeof error === 'string') return { status, code: null, message: error, param: '' }
  const own = isPlainObject(error) ? error : parsed['object'] === 'error' ? parsed : null
  const { message, param } = own ?? {}
  const found = [own?.['code'], own?.['type']].find((each) => typeof each === 'string' && CODE.test(each))
  const code = (found as string | undefined) ?? null
  if (own === null || (typeof message !== 'string' && code === null)) return null
  return {
    status,
    code,
    message: typeof message === 'string' ? message : '',
    param: typeof param === 'string' ? param : '',
  }
}

const REFUSES =
  /unsupported|not supported|does not support|unrecognized|unknown|unexpected|extra (?:inputs|fields)|extra_forbidden|not (?:permitted|allowed)/i

/** Learns from a refusal how this model has to be asked; null: the refusal is about something else. */
export function learn(dialect: Dialect, { status, code, message, param }: ProviderError): Dialect | null {
  if (status !== 400 && status !== 422) return null
  const said = `${code ?? ''} ${param} ${message}`
  if (!REFUSES.test(said)) return null
  const { limit } = dialect
  // The advised name stands in the message, too: "use max_completion_tokens instead".
  const refused = param === '' ? message : param
  if (limit !== null && new RegExp(`\\b${limit}\\b`).test(refused)) {
    return { ...dialect, limit: limit === 'max_completion_tokens' ? 'max_tokens' : null }
  }
  if (dialect.hasSystem && (/messages\W*0\W*role/.test(param) || /\bsystem\b/i.test(message))) {
    return { ...dialect, hasSystem: false }
  }
  return null
}
