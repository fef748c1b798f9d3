import type { IncomingHttpHeaders } from 'node:http'
import type { HookVerification } from '#lib/flow/types.ts'
import type { WebhookSecrets } from '#modules/connection/index.ts'
import { isSameSecret, type SentRequest, type VerificationFault } from './verification.ts'

const CHALLENGE = /^[\x20-\x7e]{1,1024}$/
/** WooCommerce sends this, unsigned, when a webhook is saved, and switches it off unless it is answered. */
const WOOCOMMERCE_PING = /^webhook_id=\d{1,20}$/
const PING_MAX_BYTES = 64

/** Answers a sender that asks whether it may send, before its body is verified; null: it does not ask. */
export function unsignedHandshake(verify: HookVerification, { headers, bytes }: SentRequest): string | null {
  const isPing =
    verify.scheme === 'woocommerce' &&
    headers['x-wc-webhook-signature'] === undefined &&
    bytes.length <= PING_MAX_BYTES &&
    WOOCOMMERCE_PING.test(bytes.toString())
  return isPing ? 'ok' : null
}

/** The same, for what has been verified. */
export function signedHandshake(
  { scheme }: HookVerification,
  headers: IncomingHttpHeaders,
  body: unknown,
): string | null {
  if (scheme === 'github' && headers['x-github-event'] === 'ping') return 'pong'
  if (scheme !== 'slack' || typeof body !== 'object' || body === null) return null
  const { type, challenge } = body as Record<string, unknown>
  return type === 'url_verification' && typeof challenge === 'string' && CHALLENGE.test(challenge)
    ? challenge
    : null
}

/** Tells whether a sender of the scheme asks by GET. */
export function asksByGet({ scheme }: HookVerification): boolean {
  return scheme === 'meta' || scheme === 'websub'
}

/** Tells a request of a hub from one that only looks whether the URL is there. */
export function isChallenge(query: unknown): boolean {
  return Object.keys(query ?? {}).some((name) => name.startsWith('hub.'))
}

/** Answers the challenge of a GET, or says why not. WebSub: https://www.w3.org/TR/websub/#hub-verifies-intent */
export function challengeOf(
  verify: HookVerification,
  { verifyToken }: WebhookSecrets,
  query: unknown,
): string | VerificationFault {
  const given = (query ?? {}) as Record<string, unknown>
  const of = (name: string, detail: string): VerificationFault => ({ pointer: `/query/hub.${name}`, detail })
  const mode = given['hub.mode']
  if (mode !== 'subscribe' && !(verify.scheme === 'websub' && mode === 'unsubscribe')) {
    return of('mode', 'must be subscribe')
  }
  if (verify.scheme === 'meta') {
    const token = given['hub.verify_token']
    if (verifyToken === null)
      return of('verify_token', 'cannot be compared: the connection has no verify_token')
    if (typeof token !== 'string' || !isSameSecret(verifyToken, token)) {
      return of('verify_token', 'is not the one that was agreed on')
    }
  } else if (verify.topic !== undefined && given['hub.topic'] !== verify.topic) {
    return of('topic', 'is not the one that this inlet is for')
  }
  const challenge = given['hub.challenge']
  if (typeof challenge !== 'string' || !CHALLENGE.test(challenge)) {
    return of('challenge', 'must be 1 to 1,024 printable ASCII characters')
  }
  return challenge
}
