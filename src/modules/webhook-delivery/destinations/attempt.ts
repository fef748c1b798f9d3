import type { Egress, EgressResponse } from '#infra/egress/index.ts'
import { CAUSATION_DEPTH_HEADER, CAUSATION_ID_HEADER } from '#modules/event/index.ts'
import { headerValues } from '#lib/secrets/echo.ts'
import { now } from '#lib/clock.ts'
import { signWebhook } from '#lib/secrets/signature.ts'

/** Where and how a plugin's deliveries go: its settings with secrets opened, as of `revision`. */
export interface DeliveryTarget {
  pluginId: string
  tenantId: string
  slug: string
  revision: number
  active: boolean
  /** Where webhooks go. */
  url: string
  /** What endpoints of actions are below. */
  baseUrl: string
  /** The plugin's own request headers. */
  headers: Readonly<Record<string, string>>
  /** Live signing keys, the current one first; `expiresAt` in epoch milliseconds. */
  keys: readonly { key: Buffer; expiresAt: number | null }[]
  /** Seconds after each failed attempt. */
  retrySchedule: readonly number[]
  timeoutMs: number
  ratePerSecond: number | null
  maxInFlight: number
}

/** What the headers of a request to a plugin are made of. */
type Signer = Pick<DeliveryTarget, 'headers' | 'keys' | 'tenantId'>

export interface WebhookMessage {
  /** `webhook-id`: the event's id, the same over all attempts. */
  id: string
  /** Sent and signed byte for byte. */
  body: string
}

/** A message as it is delivered, with what stands beside it in headers. */
export interface Dispatch extends WebhookMessage {
  /** To be handed back with events that the plugin publishes because of this one; null: no event that is kept. */
  causationId: string | null
  causationDepth: number
  event: string
  /** 1 for the first. */
  attempt: number
}

export interface Attempt extends EgressResponse {
  /** Epoch milliseconds. */
  startedAtMs: number
}

/** At most this much of an answer is kept. */
const RESPONSE_BODY_MAX_BYTES = 16 * 1024
const USER_AGENT = 'BetterCallSold-Webhooks/1.0'

/** One signed POST. Never throws: what goes wrong is the attempt's error class. */
export async function attempt(egress: Egress, target: DeliveryTarget, message: Dispatch): Promise<Attempt> {
  const startedAtMs = now()
  const response = await egress.request({
    method: 'POST',
    url: target.url,
    headers: requestHeaders(target, message, startedAtMs),
    body: message.body,
    timeoutMs: target.timeoutMs,
    maxResponseBytes: RESPONSE_BODY_MAX_BYTES,
    secrets: headerValues(target.headers),
    party: target.tenantId,
  })
  return Object.assign(response, { startedAtMs })
}

/** The headers of a delivery. */
export function requestHeaders(target: Signer, message: Dispatch, nowMs: number): Record<string, string> {
  return {
    ...signedHeaders(target, message, nowMs),
    ...(message.causationId !== null && { [CAUSATION_ID_HEADER]: message.causationId }),
    [CAUSATION_DEPTH_HEADER]: String(message.causationDepth),
    'webhook-event': message.event,
    'webhook-attempt': String(message.attempt),
  }
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
