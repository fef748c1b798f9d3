import type { Egress } from '../../infra/egress.ts'
import {
  ACTION_RESPONSE_MAX_BYTES,
  type ActionCallFailure,
  type ActionCallResult,
  readActionResponse,
} from '../../lib/action-call.ts'
import { Breaker } from '../../lib/breaker.ts'

export interface PlatformCall {
  method: string
  /** Below the platform's URL, beginning with a slash. */
  path: string
  body: unknown
  idempotencyKey: string
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** Where one tenant's platform API is. */
export interface PlatformEndpoint {
  url: string
  token: string | null
  /** The operator's own address may be internal; a tenant's override has to be public. */
  egress: Egress
}

const DEFAULT_TIMEOUT_MS = 10_000
const BREAKERS_MAX = 1_000

/** Calls the platform's API; its errors become readable results, and its token stays here. */
export class PlatformConnector {
  readonly #breakers = new Map<string, Breaker>()

  async call(tenantId: string, endpoint: PlatformEndpoint, call: PlatformCall): Promise<ActionCallResult> {
    const breaker = this.#breakerOf(new URL(endpoint.url).origin)
    const waitMs = breaker.waitMs(performance.now())
    if (waitMs > 0) return breakerOpen(waitMs)
    const response = await endpoint.egress.request({
      method: call.method,
      url: endpoint.url.replace(/\/+$/, '') + call.path,
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        'x-tenant-id': tenantId,
        'idempotency-key': call.idempotencyKey,
        ...(endpoint.token !== null && { authorization: `Bearer ${endpoint.token}` }),
      },
      body: JSON.stringify(call.body),
      timeoutMs: call.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxResponseBytes: ACTION_RESPONSE_MAX_BYTES,
      signal: call.signal,
    })
    if (response.status === null || response.status >= 500) breaker.failed(performance.now())
    else breaker.succeeded()
    return withoutToken(readActionResponse(response), endpoint.token)
  }

  #breakerOf(origin: string): Breaker {
    let breaker = this.#breakers.get(origin)
    if (breaker === undefined) {
      if (this.#breakers.size >= BREAKERS_MAX) this.#breakers.clear()
      this.#breakers.set(origin, (breaker = new Breaker()))
    }
    return breaker
  }
}

export function platformNotConfigured(): ActionCallFailure {
  return failure(
    'platform_not_configured',
    'Set PLATFORM_URL, or PUT /api/tenant/platform for this tenant.',
    null,
  )
}

function breakerOpen(waitMs: number): ActionCallFailure {
  return failure('breaker_open', 'The platform has been failing: it is given a pause.', waitMs)
}

function failure(code: string, message: string, retryAfterMs: number | null): ActionCallFailure {
  return { ok: false, status: null, code, message, transient: true, bytesSent: false, retryAfterMs }
}

/** A platform that echoes its caller's headers must not make the token part of a result. */
function withoutToken(result: ActionCallResult, token: string | null): ActionCallResult {
  if (token === null || token === '') return result
  if (!result.ok) return { ...result, message: result.message.replaceAll(token, '[redacted]') }
  const text = JSON.stringify(result.data)
  if (!text.includes(token)) return result
  return { ...result, data: JSON.parse(text.replaceAll(token, '[redacted]')) as unknown }
}
