import type { Dispatcher } from 'undici'
import type { Deadlines } from './deadlines.ts'
import { EgressError, exchangeError, isClosedByPeer } from './errors.ts'
import { withoutCutEcho, withoutEchoes } from '#lib/secrets/echo.ts'
import { BodyStart, cutToBytes, isCutHeader, readHeaders, readRetryAfter } from './response.ts'
import type { EgressErrorClass, EgressRequest, EgressResponse } from './types.ts'

const DEFAULT_MAX_RESPONSE_BYTES = 16 * 1024
/** Beyond what is kept, so much is read and dropped to keep the connection; more costs the connection. */
const DRAIN_BYTES = 64 * 1024
/** 103 Early Hints comes once or twice; a peer that sends more than this will never answer. */
const MAX_INFORMATIONAL = 16
/** They have no body, whatever their headers say (RFC 9110, 15). */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304])

/** The connection that carries an exchange. */
export interface Carrier {
  /** Responses that came over the present socket. */
  readonly served: number
  release(): void
  discard(): Promise<void>
}

/** Finds a connection for an exchange. */
export interface CarrierPool {
  /** Its connections present a client certificate. */
  readonly isCertified: boolean
  dispatch(exchange: Exchange): void
  /** Sends again on a new connection, in place of one that turned out to be closed. */
  resend(exchange: Exchange, stale: Carrier): void
}

/**
 * One request and its answer, as undici's handler: an object with methods instead of a stream per response, because
 * streams would be most of a delivery's cost. It settles once; anything that arrives later is ignored.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly options: Dispatcher.DispatchOptions
  /** On `performance.now()`'s scale. */
  readonly deadline: number
  readonly #startedAt: number
  readonly #request: EgressRequest
  readonly #maxBytes: number
  readonly #resolve: (response: EgressResponse) => void
  readonly #deadlines: Deadlines<Exchange>
  readonly #pool: CarrierPool
  readonly #onAbort: (() => void) | null
  #connection: Carrier | null = null
  #settled = false
  #sent = false
  #responding = false
  #retried = false
  #informational = 0
  #status: number | null = null
  #headers: Record<string, string> = {}
  #body: BodyStart | null = null
  #received = 0
  /** The body has come to its end. */
  #complete = false

  constructor(
    request: EgressRequest,
    options: Dispatcher.DispatchOptions,
    pool: CarrierPool,
    deadlines: Deadlines<Exchange>,
    resolve: (response: EgressResponse) => void,
  ) {
    this.#startedAt = performance.now()
    this.deadline = this.#startedAt + request.timeoutMs
    this.options = options
    this.#request = request
    this.#maxBytes = request.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES
    this.#resolve = resolve
    this.#deadlines = deadlines
    this.#pool = pool
    this.#onAbort = request.signal === undefined ? null : () => this.#giveUp('The request was cancelled')
  }

  get party(): string {
    return this.#request.party ?? ''
  }

  get settled(): boolean {
    return this.#settled
  }

  start(): void {
    this.#deadlines.add(this)
    if (this.#onAbort !== null) {
      this.#request.signal?.addEventListener('abort', this.#onAbort, { once: true })
      if (this.#request.signal?.aborted === true) {
        this.#onAbort()
        return
      }
    }
    this.#pool.dispatch(this)
  }

  /** Sets the connection that carries it from now on. */
  assign(connection: Carrier): void {
    this.#connection = connection
  }

  expire(): void {
    this.#giveUp(`No complete answer within ${this.#request.timeoutMs} ms`)
  }

  fail(error: EgressError): void {
    this.#settle(error.errorClass, error.message)
    this.#discardConnection()
  }

  /** Called by undici right before it writes the request to the socket. */
  onConnect(): void {
    this.#sent = true
  }

  onResponseStarted(): void {
    this.#responding = true
  }

  onHeaders(status: number, rawHeaders: Buffer[]): boolean {
    if (this.#settled) return true
    if (status < 200) {
      this.#countInterim()
      return true
    }
    this.#status = status
    this.#headers = readHeaders(rawHeaders)
    // Frameworks announce a body with them, and some send it: the next bytes on this connection are anybody's guess.
    if (WITHOUT_BODY.has(status) && this.#announcesBody(status)) {
      this.#settleByStatus()
      this.#discardConnection()
    }
    return true
  }

  /** `100 Continue` came, which undici is not shown. */
  onContinue(): void {
    if (this.#settled) return
    this.#responding = true
    this.#countInterim()
  }

  onData(chunk: Buffer): boolean {
    if (this.#settled) return true
    this.#received += chunk.length
    this.#body ??= new BodyStart(this.#maxBytes)
    this.#body.append(chunk)
    if (this.#received > this.#maxBytes) {
      const announced = Number(this.#headers['content-length'] ?? 0)
      if (Math.max(this.#received, announced) > this.#maxBytes + DRAIN_BYTES) {
        this.#settleByStatus()
        this.#discardConnection()
      }
    }
    return true
  }

  onComplete(): void {
    const connection = this.#connection
    this.#complete = true
    if (!this.#settled) this.#settleByStatus()
    this.#connection = null
    connection?.release()
  }

  /**
   * A peer may close a connection that it kept alive at the very moment it is used again. Nothing of a
   * response came then, so the same request goes out once more on a new connection, inside the same
   * deadline. It may thereby arrive twice, as with any retry: receivers tell by its id.
   */
  onError(error: Error): void {
    if (this.#settled) return
    const connection = this.#connection
    const stale = this.#sent && !this.#responding && connection !== null && connection.served > 0
    if (stale && !this.#retried && this.#request.resend !== false && isClosedByPeer(error)) {
      this.#retried = true
      this.#connection = null
      this.#pool.resend(this, connection)
      return
    }
    const failure =
      this.#informational > 0 && isClosedByPeer(error) && this.#status === null
        ? new EgressError('protocol_error', 'The peer sent only interim responses')
        : exchangeError(error, this.#pool.isCertified)
    // Some servers close the connection where others send an alert.
    const isUnwelcome = this.#pool.isCertified && !this.#responding && connection?.served === 0
    this.fail(
      isUnwelcome && failure.errorClass === 'reset'
        ? new EgressError('reset', `${failure.message}: the server may not accept the client certificate`, {
            cause: error,
          })
        : failure,
    )
  }

  #countInterim(): void {
    this.#informational += 1
    if (this.#informational > MAX_INFORMATIONAL) {
      this.fail(new EgressError('protocol_error', 'The peer sends interim responses without end'))
    }
  }

  #announcesBody(status: number): boolean {
    const length = this.#headers['content-length']
    if (this.#headers['transfer-encoding'] !== undefined) return true
    // Without a length the parser knows of 204 and 304 that they end here, and takes 205 to last until the close.
    return length === undefined ? status === 205 : Number(length) !== 0
  }

  #giveUp(detail: string): void {
    if (this.#settled) return
    const whole = this.#received > this.#maxBytes
    if (whole) this.#settleByStatus()
    else if (this.#sent) this.#settle('timeout', detail)
    else this.#settle('connect_timeout', `${detail}; no connection was ready`)
    this.#discardConnection()
  }

  #discardConnection(): void {
    const connection = this.#connection
    this.#connection = null
    void connection?.discard()
  }

  #settleByStatus(): void {
    const status = this.#status ?? 0
    if (status >= 500) this.#settle('http_5xx', `The answer was ${status}`)
    else if (status >= 400) this.#settle('http_4xx', `The answer was ${status}`)
    else if (status >= 300) this.#settle('redirect', this.#redirectDetail(status))
    else if (this.#received > this.#maxBytes) {
      this.#settle(
        'response_too_large',
        `The response is larger than ${this.#maxBytes} bytes; the rest was dropped`,
      )
    } else this.#settle(null, null)
  }

  #settle(errorClass: EgressErrorClass | null, errorDetail: string | null): void {
    if (this.#settled) return
    this.#settled = true
    this.#deadlines.delete(this)
    if (this.#onAbort !== null) this.#request.signal?.removeEventListener('abort', this.#onAbort)
    const body = this.#readBody()
    const { secrets = NO_SECRETS } = this.#request
    this.#resolve({
      ok: this.#status !== null && (errorClass === null || errorClass === 'response_too_large'),
      status: this.#status,
      headers: secrets.length === 0 ? this.#headers : cleanHeaders(this.#headers, secrets),
      body: body.text,
      truncated: body.cut,
      errorClass,
      errorDetail: errorDetail && withoutEchoes(errorDetail, secrets),
      durationMs: Math.round(performance.now() - this.#startedAt),
      bytesSent: this.#sent,
      retryAfterMs: readRetryAfter(this.#headers['retry-after']),
    })
  }

  /** Returns the body as it is kept, without secrets, and whether there was more. */
  #readBody(): { text: string; cut: boolean } {
    const { text, cut } = this.#body?.read() ?? { text: '', cut: false }
    this.#body = null
    const isCut = cut || this.#received > this.#maxBytes
    const { secrets = NO_SECRETS } = this.#request
    if (secrets.length === 0) return { text, cut: isCut }
    const isWhole = this.#complete && !isCut
    const clean = isWhole ? withoutEchoes(text, secrets) : withoutCutEcho(text, secrets)
    // The text in a secret's place may be longer.
    const kept = cutToBytes(clean, this.#maxBytes)
    return { text: kept, cut: isCut || kept.length < clean.length }
  }

  #redirectDetail(status: number): string {
    const { url, secrets = NO_SECRETS } = this.#request
    const location = this.#headers['location']
    return redirectDetail(status, url, location && cleanHeader(location, secrets), secrets)
  }
}

const NO_SECRETS: readonly string[] = []

/** Returns the same object where no secret stands in it, as in nearly all answers. */
function cleanHeaders(
  headers: Readonly<Record<string, string>>,
  secrets: readonly string[],
): Record<string, string> {
  let cleaned: Record<string, string> = headers
  for (const name of Object.keys(headers)) {
    const value = headers[name] ?? ''
    const clean = cleanHeader(value, secrets)
    if (clean === value) continue
    if (cleaned === headers) cleaned = { ...headers }
    cleaned[name] = clean
  }
  return cleaned
}

function cleanHeader(value: string, secrets: readonly string[]): string {
  return isCutHeader(value) ? withoutCutEcho(value, secrets) : withoutEchoes(value, secrets)
}

const MAX_LOCATION_CHARS = 300

/** Says where a redirect leads, without its query and credentials, which may be secrets. */
function redirectDetail(
  status: number,
  from: string,
  location: string | undefined,
  secrets: readonly string[],
): string {
  const to = location === undefined ? null : URL.parse(location, from)
  if (to === null) return `The answer was ${status}; redirects are not followed`
  const where = withoutEchoes(`${to.origin === 'null' ? to.protocol : to.origin}${to.pathname}`, secrets)
  const shown = where.length > MAX_LOCATION_CHARS ? `${where.slice(0, MAX_LOCATION_CHARS)}…` : where
  return `The answer was ${status} to ${shown}; redirects are not followed`
}

/** The answer to a request that never became an exchange. */
export function refusedResponse(errorClass: EgressErrorClass, errorDetail: string): EgressResponse {
  return {
    ok: false,
    status: null,
    headers: {},
    body: '',
    truncated: false,
    errorClass,
    errorDetail,
    durationMs: 0,
    bytesSent: false,
    retryAfterMs: null,
  }
}
