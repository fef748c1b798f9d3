import type { Egress, EgressResponse } from '#infra/egress/index.ts'
import { Breaker, type Health } from '#lib/async/breaker.ts'
import { readCompletion } from './completion.ts'
import { type Fallback, fallback } from './fallback.ts'
import type { Prompt } from './prompt.ts'
import { Slots } from './slots.ts'

export interface AiClientOptions {
  baseUrl: string
  apiKey: string | null
  /** From the call to the last byte of the answer, waiting for a turn included. */
  timeoutMs: number
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

/** Asks an OpenAI-compatible endpoint for one completion. Whatever goes wrong is an answer: it never throws. */
export class AiClient {
  readonly #egress: Egress
  readonly #options: AiClientOptions
  readonly #url: string
  readonly #breaker = new Breaker()
  readonly #slots = new Slots(MAX_AT_ONCE, MAX_AT_ONCE_PER_TENANT)

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
    const startedAt = performance.now()
    if (!(await this.#slots.take(tenantId, this.#options.timeoutMs))) {
      return fallback('busy', `no turn within ${this.#options.timeoutMs} ms`)
    }
    try {
      const pass = this.#breaker.enter(performance.now())
      if (typeof pass === 'number') return fallback('unavailable', `the breaker is open for ${pass} ms`)
      const leftMs = Math.max(this.#options.timeoutMs - (performance.now() - startedAt), 1)
      const response = await this.#send(request, leftMs)
      this.#breaker.left(pass, healthOf(response), performance.now())
      return read(response)
    } finally {
      this.#slots.giveBack(tenantId)
    }
  }

  #send({ model, maxTokens, prompt }: AiRequest, timeoutMs: number): Promise<EgressResponse> {
    const { apiKey } = this.#options
    return this.#egress.request({
      method: 'POST',
      url: this.#url,
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }),
      },
      body: JSON.stringify({
        model,
        messages: [
          { role: 'system', content: prompt.system },
          { role: 'user', content: prompt.user },
        ],
        max_tokens: maxTokens,
        stream: false,
      }),
      timeoutMs,
      maxResponseBytes: RESPONSE_MAX_BYTES,
    })
  }
}

function read(response: EgressResponse): { text: string } | Fallback {
  const { status, errorClass, errorDetail, truncated, body } = response
  if (errorClass === 'timeout' || errorClass === 'connect_timeout') {
    return fallback('timeout', errorDetail ?? errorClass)
  }
  if (status !== null && (status < 200 || status > 299)) return fallback('http_error', `status ${status}`)
  if (truncated) return fallback('invalid_response', `the answer is larger than ${RESPONSE_MAX_BYTES} bytes`)
  if (!response.ok) return fallback('unreachable', errorDetail ?? errorClass ?? 'no answer')
  return readCompletion(body)
}

/** What a status below 500 says is about the request or the account. */
function healthOf({ status, errorClass }: EgressResponse): Health {
  if (errorClass === 'blocked') return 'unknown'
  if (status === 429) return 'unknown'
  return status === null || status >= 500 ? 'ill' : 'well'
}
