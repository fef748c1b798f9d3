import type { Egress, EgressResponse } from '#infra/egress/index.ts'
import { CAUSATION_DEPTH_HEADER, CAUSATION_ID_HEADER, CAUSATION_TOKEN_HEADER } from '#modules/event/index.ts'
import { now } from '#lib/clock.ts'
import { headerValues } from '#lib/secrets/echo.ts'
import { signWebhook } from '#lib/secrets/signature.ts'
import type { AttemptOutcome, AttemptResult, Destination, Message } from './destination.ts'
import type { DeliveryTarget } from './targets.ts'

/** The parts of the headers of a request to a plugin. */
type Signer = Pick<DeliveryTarget, 'headers' | 'keys' | 'tenantId'>

export type WebhookMessage = Pick<Message, 'id' | 'body'>

/** At most this much of an answer is kept. */
const RESPONSE_BODY_MAX_BYTES = 16 * 1024
const USER_AGENT = 'BetterCallSold-Webhooks/1.0'

/**
 * A plugin's webhook: one signed POST for each message.
 *
 * | answer                     | outcome                          | outage |
 * | -------------------------- | -------------------------------- | ------ |
 * | 2xx                        | ok                               |        |
 * | 410                        | gone                             |        |
 * | 429, 503 with Retry-After  | later                            | yes    |
 * | 3xx, 408, 429, 5xx         | failed                           | yes    |
 * | none, or one that broke    | failed                           | by the status, if there is one |
 * | anything else              | failed: about this message alone |        |
 */
export class WebhookDestination implements Destination {
  readonly request: string
  readonly #egress: Egress
  readonly #target: DeliveryTarget
  readonly #secrets: string[]

  constructor(egress: Egress, target: DeliveryTarget) {
    this.#egress = egress
    this.#target = target
    this.#secrets = headerValues(target.headers)
    const { url, headers, clientCertificate } = target
    this.request = JSON.stringify({
      url,
      headers: Object.keys(headers),
      ...(clientCertificate !== null &&
        url.startsWith('https:') && { client_certificate: clientCertificate.fingerprint }),
    })
  }

  async send(message: Message, signal?: AbortSignal): Promise<AttemptResult> {
    const startedAtMs = now()
    const response = await this.#egress.request({
      method: 'POST',
      url: this.#target.url,
      headers: requestHeaders(this.#target, message, startedAtMs),
      body: message.body,
      timeoutMs: this.#target.timeoutMs,
      maxResponseBytes: RESPONSE_BODY_MAX_BYTES,
      secrets: secretsOf(message, this.#secrets),
      party: this.#target.tenantId,
      clientCertificate: this.#target.clientCertificate ?? undefined,
      signal,
    })
    const outcome = outcomeOf(response)
    return Object.assign(response, {
      startedAtMs,
      outcome,
      isOutage: outcome !== 'ok' && isOutage(response.status),
      retryAfterMs: outcome === 'later' ? response.retryAfterMs : null,
    })
  }

  /** 408 and 429 are outages of that class, too, but rare beside refusals. */
  mayBeOutage(errorClass: string | null): boolean {
    return errorClass !== 'http_4xx'
  }
}

/** The values of the plugin's own headers, and that by which its word on causes is believed. */
function secretsOf({ causationToken }: Message, ofHeaders: readonly string[]): readonly string[] {
  return causationToken === null ? ofHeaders : [...ofHeaders, causationToken]
}

function outcomeOf({ ok, status, retryAfterMs }: EgressResponse): AttemptOutcome {
  if (ok) return 'ok'
  if (status === 410) return 'gone'
  return retryAfterMs !== null && (status === 429 || status === 503) ? 'later' : 'failed'
}

function isOutage(status: number | null): boolean {
  return (
    status === null || status >= 500 || status === 408 || status === 429 || (status >= 300 && status < 400)
  )
}

/** The headers of a delivery. */
export function requestHeaders(target: Signer, message: Message, nowMs: number): Record<string, string> {
  const headers = signedHeaders(target, message, nowMs)
  if (message.causationId !== null) headers[CAUSATION_ID_HEADER] = message.causationId
  headers[CAUSATION_DEPTH_HEADER] = String(message.causationDepth)
  if (message.causationToken !== null) headers[CAUSATION_TOKEN_HEADER] = message.causationToken
  headers['webhook-event'] = message.event
  headers['webhook-publisher'] = message.publisher
  headers['webhook-attempt'] = String(message.attempt)
  return headers
}

/** The headers of a signed request to a plugin, by Standard Webhooks 1.0. */
export function signedHeaders(
  target: Signer,
  message: WebhookMessage,
  nowMs: number,
): Record<string, string> {
  const timestampSeconds = Math.floor(nowMs / 1000)
  const keys = target.keys
    .filter(({ expiresAt }) => expiresAt === null || expiresAt > nowMs)
    .map(({ key }) => key)
  return {
    ...target.headers,
    accept: '*/*',
    'content-type': 'application/json',
    'user-agent': USER_AGENT,
    'webhook-tenant': target.tenantId,
    'webhook-id': message.id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': signWebhook({ id: message.id, timestampSeconds, body: message.body }, keys),
  }
}
