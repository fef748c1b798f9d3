import { hash, randomBytes } from 'node:crypto'

const BEARER_PREFIX = 'bcss_'
const BYTES = 32
/** 32 bytes as base64url. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/

/** A new token of a cookie or a portal link. Only its hash is stored. */
export function generateToken(): string {
  return randomBytes(BYTES).toString('base64url')
}

/** A new token of a session that is sent as a bearer: its prefix tells it from a key. */
export function generateBearerToken(): string {
  return BEARER_PREFIX + generateToken()
}

/** SHA-256: a token has 256 random bits, so a slow password hash would protect nothing. */
export function hashToken(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

/** Tells whether a text may be a token of a cookie or a portal link: one of another form needs no look-up. */
export function isToken(text: string): boolean {
  return TOKEN.test(text)
}

/** The session's token of an Authorization header, or null when it is not a bearer of one. */
export function bearerToken(header: string): string | null {
  const token = /^Bearer +(\S+)$/i.exec(header)?.[1]
  return token?.startsWith(BEARER_PREFIX) === true && isToken(token.slice(BEARER_PREFIX.length))
    ? token
    : null
}
