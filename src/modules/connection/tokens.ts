import { Buffer } from 'node:buffer'
import { readJson } from '#db/json.ts'
import type { Egress, EgressResponse } from '#infra/egress/index.ts'
import { boundedCache } from '#lib/bounded-cache.ts'
import { TimeoutError, withTimeout } from '#lib/async/timeout.ts'
import { withoutEchoes } from '#lib/secrets/echo.ts'
import { type AuthorisationFault, fault } from './authorisation.ts'

/** The client that asks for a token, and the URL of its token server. */
export interface TokenClient {
  tenantId: string
  connectionId: string
  /** A change of the connection makes another one. */
  revision: number
  tokenUrl: string
  clientId: string
  clientSecret: string
  scope: string | null
  audience: string | null
  auth: 'basic' | 'body'
}

interface Token {
  revision: number
  text: string
  /** By the cache's clock: from then on another one is asked for. */
  renewAt: number
}

interface Asked {
  revision: number
  token: Promise<Token | AuthorisationFault>
}

/** In memory, and there alone: another process asks for its own. One for each connection. */
const TOKENS_MAX = 10_000
/** RFC 6749 only recommends that a server says how long its tokens live. */
const DEFAULT_LIFE_MS = 5 * 60_000
/** A token is renewed before it ends, so that none ends on its way. */
const RENEW_SHARE = 0.2
const RENEW_MAX_MS = 60_000
const TOKEN_MAX_CHARS = 16_384
const RESPONSE_MAX_BYTES = 64 * 1024
/** The limit of one request for a token, however long its callers would wait. */
const REQUEST_TIMEOUT_MS = 10_000
const MESSAGE_MAX_CHARS = 300
const TOKEN = /^[\x21-\x7e]+$/
const TRANSIENT_STATUS = new Set([408, 425, 429])

/**
 * Tokens of OAuth 2 clients. For each client one request is under way at a time, however many callers wait for it.
 */
export class TokenCache {
  readonly #egress: Pick<Egress, 'request'>
  readonly #now: () => number
  readonly #tokens = boundedCache<Token>(TOKENS_MAX)
  readonly #underWay = new Map<string, Asked>()

  /** @param now milliseconds of a steady clock */
  constructor(egress: Pick<Egress, 'request'>, now: () => number = () => performance.now()) {
    this.#egress = egress
    this.#now = now
  }

  /**
   * Returns a token that does not end soon.
   * @param timeoutMs how long this caller waits; the request goes on for others
   * @param refused one that the other side has not taken: it is not given out again
   */
  async get(
    client: TokenClient,
    timeoutMs: number,
    refused: string | null = null,
  ): Promise<string | AuthorisationFault> {
    const known = this.#tokens.get(client.connectionId)
    const isGood = known?.revision === client.revision && known.renewAt > this.#now()
    if (isGood && known.text !== refused) return known.text
    const underWay = this.#underWay.get(client.connectionId)
    const asked = underWay?.revision === client.revision ? underWay : this.#ask(client)
    try {
      const token = await withTimeout(asked.token, timeoutMs)
      return 'code' in token ? token : token.text
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error
      return tokenFault(`No complete answer within ${timeoutMs} ms`, {
        networkCode: 'timeout',
        transient: true,
      })
    }
  }

  #ask(client: TokenClient): Asked {
    const asked: Asked = {
      revision: client.revision,
      token: this.#fetch(client).finally(() => {
        if (this.#underWay.get(client.connectionId) === asked) this.#underWay.delete(client.connectionId)
      }),
    }
    this.#underWay.set(client.connectionId, asked)
    return asked
  }

  async #fetch(client: TokenClient): Promise<Token | AuthorisationFault> {
    const askedAt = this.#now()
    const response = await this.#egress.request(requestOf(client))
    const said = response.ok && !response.truncated ? membersOf(response.body) : null
    const text = said?.['access_token']
    if (said === null || typeof text !== 'string' || text.length > TOKEN_MAX_CHARS || !TOKEN.test(text)) {
      return faultOf(client, response)
    }
    const lifeMs = lifeOf(said['expires_in'])
    const renewAt = askedAt + lifeMs - Math.min(lifeMs * RENEW_SHARE, RENEW_MAX_MS)
    const token = { revision: client.revision, text, renewAt }
    const known = this.#tokens.get(client.connectionId)
    // The connection may have been changed meanwhile.
    if (known === undefined || known.revision <= client.revision) {
      this.#tokens.set(client.connectionId, token)
    }
    return token
  }
}

function requestOf({ tenantId, tokenUrl, clientId, clientSecret, scope, audience, auth }: TokenClient) {
  const form = new URLSearchParams({ grant_type: 'client_credentials' })
  if (scope !== null) form.set('scope', scope)
  if (audience !== null) form.set('audience', audience)
  if (auth === 'body') {
    form.set('client_id', clientId)
    form.set('client_secret', clientSecret)
  }
  return {
    method: 'POST',
    url: tokenUrl,
    headers: {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      ...(auth === 'basic' && { authorization: `Basic ${basicOf(clientId, clientSecret)}` }),
    },
    body: form.toString(),
    timeoutMs: REQUEST_TIMEOUT_MS,
    maxResponseBytes: RESPONSE_MAX_BYTES,
    party: tenantId,
  }
}

/** Both are form-encoded first (RFC 6749, 2.3.1). */
function basicOf(clientId: string, clientSecret: string): string {
  const encoded = [clientId, clientSecret].map((text) => encodeURIComponent(text).replaceAll('%20', '+'))
  return Buffer.from(encoded.join(':')).toString('base64')
}

function lifeOf(expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'string' ? Number(expiresIn) : expiresIn
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 0) return DEFAULT_LIFE_MS
  return seconds * 1_000
}

/** Returns the token server's own words on the failure, without the secrets that it was sent. */
function faultOf(client: TokenClient, response: EgressResponse): AuthorisationFault {
  const { status, errorClass, errorDetail, retryAfterMs } = response
  const said = response.truncated ? null : membersOf(response.body)
  const words = [said?.['error'], said?.['error_description']].filter((word) => typeof word === 'string')
  const what =
    words.length > 0
      ? words.join(': ')
      : response.ok
        ? 'the answer has no access_token'
        : (errorDetail ?? errorClass ?? 'no answer')
  const { clientSecret, clientId } = client
  const clean = withoutEchoes(what.toWellFormed().replace(/\p{Cc}+/gu, ' '), [
    clientSecret,
    encodeURIComponent(clientSecret),
    basicOf(clientId, clientSecret),
  ])
  const isAnswered = status !== null && errorClass !== 'timeout'
  return tokenFault(clean.slice(0, MESSAGE_MAX_CHARS).toWellFormed(), {
    status,
    networkCode: errorClass,
    transient: isAnswered ? status >= 500 || TRANSIENT_STATUS.has(status) : errorClass !== 'blocked',
    retryAfterMs,
  })
}

function tokenFault(why: string, more: Partial<AuthorisationFault>): AuthorisationFault {
  return { ...fault('connection_token_failed', `The connection got no token: ${why}.`), ...more }
}

function membersOf(body: string): Record<string, unknown> | null {
  try {
    const parsed = readJson(body)
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}
