import { hash, randomBytes } from 'node:crypto'

export const API_KEY_PREFIX = 'bcs_'
/** Characters of a key that are kept in clear, to recognise it by. */
const SHOWN_CHARS = 12

/** A new key: `bcs_` and 32 random bytes as base64url. Only its hash is stored. */
export function generateApiKey(): string {
  return API_KEY_PREFIX + randomBytes(32).toString('base64url')
}

/** SHA-256: a key has 256 random bits, so a slow password hash would protect nothing. */
export function hashApiKey(key: string): Buffer {
  return hash('sha256', key, 'buffer')
}

export function apiKeyPrefix(key: string): string {
  return key.slice(0, SHOWN_CHARS)
}

/** The key of an Authorization header, or null when it is not a bearer of one. */
export function bearerKey(header: string | undefined): string | null {
  const key = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
  return key?.startsWith(API_KEY_PREFIX) === true && key.length <= 256 ? key : null
}
