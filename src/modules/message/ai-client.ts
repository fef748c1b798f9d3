import { allowOrigin, createEgress, type Egress, type EgressResponse } from '#infra/egress/index.ts'
import type { AiConfig, Config } from '#config/config.ts'
import { boundedCache } from '#lib/bounded-cache.ts'
import { Breaker, type Health } from '#lib/async/breaker.ts'
import { headerValues } from '#lib/secrets/echo.ts'
import { redactText } from '#lib/secrets/redact.ts'
import { readCompletion } from './completion.ts'
import { type Dialect, FIRST_DIALECT, learn, readProviderError, requestBody } from './dialect.ts'
import { type Fallback, fallback } from './fallback.ts'
import type { Prompt } from './prompt.ts'
import { Slots } from './slots.ts'

export type AiClientOptions = Pick<AiConfig, 'apiKey' | 'keyHeader' | 'headers' | 'timeoutMs'> & {
  baseUrl: string
}

export interface AiRequest {
  tenantId: string
  model: string
  maxTokens: number
  prompt: Prompt
}

/** Requests under way at once in this process: each may be seconds long, and providers limit them. */
const MAX_AT_ONCE = 16
const MAX_AT_ONCE_PER_TENANT = 4
/** A long text of 4,000 tokens is 20 KB; models that think aloud send several times that beside it. */
const RESPONSE_MAX_BYTES = 256 * 1024
/** Asked again only with something learned: both names of the limit, the role, and room to think. */
const ATTEMPTS = 5
const DIALECTS_MAX = 1_000
const PROVIDER_MESSAGE_MAX_CHARS = 300

/**
 * Asks an OpenAI-compatible endpoint for one completion, by a request of two members and one limit. Any failure is an
 * answer: it never throws. The `openai` package would take the egress door as its `fetch`; keeping to one deadline
 * and learning what an endpoint refuses would then have to work around its retries, errors and types.
 */
export class AiClient {
  readonly #egress: Egress
  readonly #options: AiClientOptions
  readonly #url: string
  readonly #breaker = new Breaker()
  readonly #slots = new Slots(MAX_AT_ONCE, MAX_AT_ONCE_PER_TENANT)
  /** By model. Another process, or this one after a restart, learns anew, by a request that is refused. */
  readonly #dialects = boundedCache<Dialect>(DIALECTS_MAX)

  constructor(egress: Egress, options: AiClientOptions) {
    this.#egress = egress
    this.#options = options
    const url = new URL(options.baseUrl)
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/chat/completions`
    url.hash = ''
    this.#url = url.href
  }

  async ask(request: AiRequest): Promise<{ text: string } | Fallback> {
    const { tenantId } = request
    const deadline = performance.now() + this.#options.timeoutMs
    if (!(await this.#slots.take(tenantId, this.#options.timeoutMs))) {
      return fallback('busy', `no turn within ${this.#options.timeoutMs} ms`)
    }
    try {
      return await this.#converse(request, deadline)
    } finally {
      this.#slots.giveBack(tenantId)
    }
  }

  async #converse(request: AiRequest, deadline: number): Promise<{ text: string } | Fallback> {
    for (let attempt = 1; ; attempt++) {
      const pass = this.#breaker.enter(performance.now())
      if (typeof pass === 'number') return fallback('unavailable', `the breaker is open for ${pass} ms`)
      const dialect = this.#dialects.get(request.model) ?? FIRST_DIALECT
      const leftMs = Math.max(deadline - performance.now(), 1)
      const response = await this.#send(request, dialect, leftMs)
      this.#breaker.left(pass, healthOf(response), performance.now())
      const answer = this.#read(response)
      if ('text' in answer) return answer
      const learned = learnFrom(dialect, response, answer)
      if (learned === null) return answer
      this.#dialects.set(request.model, learned)
      if (attempt === ATTEMPTS || performance.now() >= deadline) return answer
    }
  }

  #send(
    { model, maxTokens, prompt }: AiRequest,
    dialect: Dialect,
    timeoutMs: number,
  ): Promise<EgressResponse> {
    const { apiKey, keyHeader, headers } = this.#options
    return this.#egress.request({
      method: 'POST',
      url: this.#url,
      headers: {
        ...headers,
        accept: 'application/json',
        'content-type': 'application/json',
        ...(apiKey !== null && {
          [keyHeader]: keyHeader === 'authorization' ? `Bearer ${apiKey}` : apiKey,
        }),
      },
      body: requestBody({ model, maxTokens, ...prompt }, dialect),
      timeoutMs,
      maxResponseBytes: RESPONSE_MAX_BYTES,
      secrets: [...(apiKey === null ? [] : [apiKey]), ...headerValues(headers)],
    })
  }

  #read(response: EgressResponse): { text: string } | Fallback {
    const { status, errorClass, errorDetail, truncated, body } = response
    if (errorClass === 'timeout' || errorClass === 'connect_timeout') {
      return fallback('timeout', errorDetail ?? errorClass)
    }
    const isError = status !== null && (status < 200 || status > 299)
    const said = truncated ? null : readProviderError(body, status)
    if (said !== null) {
      // Keys that were not sent, before one is cut: the door has taken out those that were.
      const text = redactText(said.message.toWellFormed().replace(/\p{Cc}+/gu, ' '))
      const message = text.slice(0, PROVIDER_MESSAGE_MAX_CHARS).toWellFormed().trim()
      const provider = { status: isError ? status : null, code: said.code, message }
      const reason = said.code === 'content_filter' ? 'refused' : 'http_error'
      return fallback(reason, `status ${status}`, provider)
    }
    if (isError) {
      return fallback('http_error', `status ${status}`, {
        status,
        code: null,
        message: 'it says nothing of why',
      })
    }
    if (truncated)
      return fallback('invalid_response', `the answer is larger than ${RESPONSE_MAX_BYTES} bytes`)
    if (!response.ok) return fallback('unreachable', errorDetail ?? errorClass ?? 'no answer')
    return readCompletion(body)
  }
}

/** The operator named the address: that one origin may be internal, and nothing else is reached by this door. */
export function openAiClient({ ai, egress }: Pick<Config, 'ai' | 'egress'>): {
  client: AiClient
  close: () => Promise<void>
} | null {
  const { baseUrl } = ai
  if (baseUrl === null) return null
  const door = createEgress({ allow: allowOrigin(baseUrl), dnsServers: egress.dns, httpsOnly: false })
  return { client: new AiClient(door, { ...ai, baseUrl }), close: () => door.close() }
}

/** Returns the dialect for the next request, by the failure of the last; null: no change would help. */
function learnFrom(dialect: Dialect, { status, body }: EgressResponse, { reason }: Fallback): Dialect | null {
  if (reason === 'out_of_tokens') return dialect.thinks ? null : { ...dialect, thinks: true }
  if (reason !== 'http_error') return null
  const said = readProviderError(body, status)
  return said === null ? null : learn(dialect, said)
}

/** Tells the health of the AI's API. A status below 500 is about the request or the account. */
function healthOf({ status, errorClass }: EgressResponse): Health {
  if (errorClass === 'blocked') return 'unknown'
  if (status === 429) return 'unknown'
  return status === null || status >= 500 ? 'down' : 'up'
}
