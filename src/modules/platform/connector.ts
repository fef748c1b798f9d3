import type { Egress, EgressResponse } from '#infra/egress/index.ts'
import { sourceOf } from '#lib/json/source.ts'
import {
  ACTION_RESPONSE_MAX_BYTES,
  type ActionCallFailure,
  type ActionCallResult,
  notAsked,
  readActionResponse,
} from '#lib/action-call.ts'
import { boundedCache } from '#lib/bounded-cache.ts'
import { Breaker, type Health } from '#lib/async/breaker.ts'

export interface PlatformCall {
  method: string
  /** Below the platform's URL, beginning with a slash. */
  path: string
  body: unknown
  idempotencyKey: string
  /** Automations between this call and the first cause, a person or a system; nothing is sent for 0. */
  causationDepth?: number
  /** The event that led to it, for the events that it causes. */
  causationId?: string | null
  /** It may be sent again when it is uncertain whether it arrived. Default: no. */
  idempotent?: boolean
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** The address of one tenant's platform API. */
export interface PlatformEndpoint {
  url: string
  token: string | null
  /** The operator's own address may be internal; a tenant's override has to be public. */
  egress: Egress
}

const DEFAULT_TIMEOUT_MS = 10_000
/** A platform that is slower than a caller's own, shorter limit need not be down: others may wait longer. */
const DOWN_TIMEOUT_MS = 5_000
const BREAKERS_MAX = 10_000
/** The platform itself does not answer. A 500 is an answer, perhaps to one tenant's payload alone. */
const DOWN_STATUS = new Set([502, 503, 504])

/** Calls the platform's API; its errors become readable results, and its token stays here. */
export class PlatformConnector {
  readonly #breakers = boundedCache<Breaker>(BREAKERS_MAX)
  readonly #now: () => number

  /** @param now milliseconds of a steady clock, for the breakers */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  async call(tenantId: string, endpoint: PlatformEndpoint, call: PlatformCall): Promise<ActionCallResult> {
    const url = platformUrl(endpoint.url, call.path)
    if (url === null) return notAsked('blocked', "The path leaves the platform's API.")
    const timeoutMs = call.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const body = sourceOf(call.body) ?? JSON.stringify(call.body)
    // A tenant's own: a failure for one may be about its own calls.
    const breaker = this.#breakerOf(`${tenantId} ${url.origin}`)
    const pass = breaker.enter(this.#now())
    if (typeof pass === 'number') return breakerOpen(pass)
    const response = await endpoint.egress.request({
      method: call.method,
      url: url.href,
      headers: {
        accept: 'application/json',
        'content-type': 'application/json',
        'x-tenant-id': tenantId,
        'idempotency-key': call.idempotencyKey,
        ...((call.causationDepth ?? 0) > 0 && { 'x-causation-depth': String(call.causationDepth) }),
        ...(call.causationId != null && { 'x-causation-id': call.causationId }),
        ...(endpoint.token !== null && { authorization: `Bearer ${endpoint.token}` }),
      },
      body,
      timeoutMs,
      party: tenantId,
      resend: call.idempotent === true,
      maxResponseBytes: ACTION_RESPONSE_MAX_BYTES,
      signal: call.signal,
      secrets: endpoint.token === null ? [] : [endpoint.token],
    })
    breaker.left(pass, healthOf(response, timeoutMs), this.#now())
    return readActionResponse(response)
  }

  #breakerOf(name: string): Breaker {
    let breaker = this.#breakers.get(name)
    if (breaker === undefined) this.#breakers.set(name, (breaker = new Breaker()))
    return breaker
  }
}

/** The platform's URL with the path below it; null if it would be anywhere else. */
function platformUrl(base: string, path: string): URL | null {
  const { origin, pathname } = new URL(base)
  const wanted = pathname.replace(/\/+$/, '') + path
  const url = URL.parse(origin + wanted)
  return path.startsWith('/') && url?.origin === origin && url.pathname === wanted ? url : null
}

function healthOf({ status, errorClass }: EgressResponse, timeoutMs: number): Health {
  if (errorClass === 'blocked') return 'unknown'
  if (errorClass === 'timeout' || errorClass === 'connect_timeout') {
    return timeoutMs >= DOWN_TIMEOUT_MS ? 'down' : 'unknown'
  }
  return status === null || DOWN_STATUS.has(status) ? 'down' : 'up'
}

export function platformNotConfigured(message: string): ActionCallFailure {
  return notAsked('platform_not_configured', message)
}

function breakerOpen(waitMs: number): ActionCallFailure {
  return notAsked('breaker_open', 'The platform has been failing: it is given a pause.', {
    transient: true,
    retryAfterMs: waitMs,
  })
}
