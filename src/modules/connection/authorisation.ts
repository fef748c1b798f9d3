import { Buffer } from 'node:buffer'
import type { ConnectionErrorCode } from '#lib/error-codes.ts'
import { SECRET_MIN_CHARS } from '#lib/secrets/redact.ts'
import type { ConnectionSettings, ConnectionValues } from './kinds.ts'
import type { SealedConnection } from './repository.ts'

/** The addition to a request by which the other side knows its sender. */
export interface Authorisation {
  /** Lower-case names. */
  headers: Record<string, string>
  /** A name and a value behind what the URL's query has. */
  parameter: { name: string; value: string } | null
  /** The parts of it that may stand in no log, output or error, in every form in which they were sent. */
  secrets: string[]
  /** A token that the other side may have ended: asked for anew when it is refused. */
  token: string | null
}

/** The reason why a request cannot be sent with the connection. */
export interface AuthorisationFault {
  code: ConnectionErrorCode
  message: string
  /** Of the answer to a request for a token. */
  status: number | null
  /** The error class of the request for a token; null: there was none. */
  networkCode: string | null
  transient: boolean
  retryAfterMs: number | null
}

export function fault(
  code: AuthorisationFault['code'],
  message: string,
  transient = false,
): AuthorisationFault {
  return { code, message, status: null, networkCode: null, transient, retryAfterMs: null }
}

/** Of the kinds that need nothing but the stored values. */
export function plainAuthorisation(
  kind: Exclude<SealedConnection['kind'], 'oauth2_client_credentials' | 'webhook_secret'>,
  settings: ConnectionSettings,
  values: ConnectionValues,
): Authorisation {
  switch (kind) {
    case 'header':
      return inHeader(settings.header ?? 'authorization', values.value ?? '')
    case 'bearer':
      return inHeader('authorization', `Bearer ${values.token ?? ''}`)
    case 'basic': {
      const { username = '', password = '' } = values
      const encoded = Buffer.from(`${username}:${password}`).toString('base64')
      // Some services take a key as the user, without a password.
      const secret = password === '' ? username : password
      return inHeader('authorization', `Basic ${encoded}`, [secret])
    }
    case 'query': {
      const { value = '' } = values
      const parameter = { name: settings.parameter ?? '', value }
      return { headers: {}, parameter, secrets: hidden([value, encodeURIComponent(value)]), token: null }
    }
  }
}

export function tokenAuthorisation(clientSecret: string, token: string): Authorisation {
  return { ...inHeader('authorization', `Bearer ${token}`, [clientSecret]), token }
}

/** Returns the URL with the parameter; the rest of it is left as it is written. */
export function withParameter(url: string, parameter: Authorisation['parameter']): string {
  if (parameter === null) return url
  const [sent = ''] = url.split('#', 1)
  const { name, value } = parameter
  return `${sent}${sent.includes('?') ? '&' : '?'}${encodeURIComponent(name)}=${encodeURIComponent(value)}`
}

function inHeader(name: string, value: string, more: readonly string[] = []): Authorisation {
  const credential = value.slice(value.indexOf(' ') + 1)
  return {
    headers: { [name.toLowerCase()]: value },
    parameter: null,
    secrets: hidden([value, credential, ...more]),
    token: null,
  }
}

function hidden(secrets: readonly string[]): string[] {
  return [...new Set(secrets)].filter((secret) => secret.length >= SECRET_MIN_CHARS)
}
