import { Buffer } from 'node:buffer'
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { BLOCK_BYTES, hmacSha256, toBlock } from './hmac.ts'

const SECRET_PREFIX = 'whsec_'
const SECRET_BYTES = 32
/** The sizes that Standard Webhooks 1.0 allows; at most one SHA-256 block, which `hmacSha256` relies on. */
const MIN_SECRET_BYTES = 24
const MAX_SECRET_BYTES = 64

/** Of a secret that comes from elsewhere. */
const MIN_FOREIGN_BYTES = 8
const MAX_FOREIGN_BYTES = 256

const DIGEST_BYTES = 32

/**
 * The content that is signed: `${id}.${timestampSeconds}.${body}`. `id` stays the same over all attempts of a
 * delivery.
 */
export interface SignedMessage {
  id: string
  timestampSeconds: number
  body: string | Buffer
}

/** Header names in lower case, as Node gives them. */
export type WebhookHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface VerifyOptions {
  /** The difference that the sender's clock may have, either way. The standard's libraries take 300. */
  toleranceSeconds: number
  nowSeconds: number
}

export type VerifyResult =
  'valid' | 'missing_header' | 'malformed_timestamp' | 'timestamp_too_old' | 'timestamp_too_new' | 'no_match'

/** A new signing secret, in the form that plugin authors paste into their library. */
export function generateSecret(): string {
  return SECRET_PREFIX + randomBytes(SECRET_BYTES).toString('base64')
}

/** Longest text of a secret of any form: 256 bytes in hexadecimal digits. */
export const MAX_SECRET_CHARS = 4 + 2 * MAX_FOREIGN_BYTES

/** Forms of secrets that come from elsewhere: how their bytes are written. */
const FOREIGN: Readonly<Record<string, (written: string) => Buffer | string>> = {
  'text:': (written) =>
    written !== written.trim() || /\p{Cc}/u.test(written) || !written.isWellFormed()
      ? 'is text without control characters, and without spaces at its ends'
      : Buffer.from(written),
  'base64:': (written) => {
    const key = Buffer.from(written, 'base64')
    return key.toString('base64') === written ? key : 'is padded base64'
  },
  'hex:': (written) =>
    /^(?:[0-9a-f]{2})*$/i.test(written)
      ? Buffer.from(written, 'hex')
      : 'is an even number of hexadecimal digits',
}

/**
 * The key inside a secret: `whsec_` and base64 as Standard Webhooks has it, or any bytes as `text:`, `base64:` or `hex:`.
 * Throws TypeError; the message never repeats the secret.
 */
export function parseSecret(text: string): Buffer {
  const form = Object.keys(FOREIGN).find((prefix) => text.startsWith(prefix))
  if (form !== undefined) return parseForeign(form, text.slice(form.length))
  if (!text.startsWith(SECRET_PREFIX)) {
    throw new TypeError(`a signing secret starts with ${SECRET_PREFIX}, ${Object.keys(FOREIGN).join(', ')}`)
  }
  const encoded = text.slice(SECRET_PREFIX.length)
  const key = Buffer.from(encoded, 'base64')
  if (key.toString('base64') !== encoded) {
    throw new TypeError(`a signing secret is padded base64 after ${SECRET_PREFIX}`)
  }
  if (key.length < MIN_SECRET_BYTES || key.length > MAX_SECRET_BYTES) {
    throw new TypeError(
      `a signing secret has ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes, not ${key.length}`,
    )
  }
  return key
}

/** Padded or not, and nothing else: Node's decoder stops in silence at what it does not know. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/
const MIN_GIVEN_BYTES = 16

/**
 * The key in a secret by which somebody else signs after Standard Webhooks, behind `whsec_` or without; null: it is not
 * base64, or of too few bytes to be one. Some senders' keys are shorter than the standard has them.
 */
export function parseGivenSecret(text: string): Buffer | null {
  const encoded = text.startsWith(SECRET_PREFIX) ? text.slice(SECRET_PREFIX.length) : text
  const key = BASE64.test(encoded) ? Buffer.from(encoded, 'base64') : null
  return key !== null && key.length >= MIN_GIVEN_BYTES ? key : null
}

/** A key of more than a block is hashed first, as RFC 2104 says: it signs the same. */
function parseForeign(form: string, written: string): Buffer {
  const key = FOREIGN[form]?.(written) ?? ''
  if (typeof key === 'string') throw new TypeError(`a signing secret after ${form} ${key}`)
  if (key.length < MIN_FOREIGN_BYTES || key.length > MAX_FOREIGN_BYTES) {
    throw new TypeError(
      `a signing secret after ${form} has ${MIN_FOREIGN_BYTES} to ${MAX_FOREIGN_BYTES} bytes, not ${key.length}`,
    )
  }
  return key.length > BLOCK_BYTES ? hash('sha256', key, 'buffer') : key
}

/** The value of `webhook-signature`: one `v1,<base64>` per live key, separated by spaces. */
export function signWebhook({ id, timestampSeconds, body }: SignedMessage, keys: readonly Buffer[]): string {
  const block = toBlock(`${id}.${timestampSeconds}.`, body)
  let header = ''
  for (const key of keys) header += `${header && ' '}v1,${hmacSha256(key, block).toString('base64')}`
  return header
}

/**
 * Checks the three `webhook-*` headers against the raw body, as a receiver does: any live secret may match any
 * `v1` signature, other versions are skipped, comparison is in constant time.
 */
export function verifyWebhook(
  headers: WebhookHeaders,
  body: string | Buffer,
  secrets: readonly Buffer[],
  options: VerifyOptions,
): VerifyResult {
  const id = headers['webhook-id']
  const timestamp = headers['webhook-timestamp']
  const signatures = headers['webhook-signature']
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string') {
    return 'missing_header'
  }
  if (!/^\d{1,12}$/.test(timestamp)) return 'malformed_timestamp'
  const timestampSeconds = Number(timestamp)
  if (timestampSeconds < options.nowSeconds - options.toleranceSeconds) return 'timestamp_too_old'
  if (timestampSeconds > options.nowSeconds + options.toleranceSeconds) return 'timestamp_too_new'

  const given = signatures
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => Buffer.from(signature.slice(3), 'base64'))
    .filter((digest) => digest.length === DIGEST_BYTES)
  const block = toBlock(`${id}.${timestamp}.`, body)
  for (const key of secrets) {
    const expected = hmacSha256(key, block)
    if (given.some((digest) => timingSafeEqual(digest, expected))) return 'valid'
  }
  return 'no_match'
}
