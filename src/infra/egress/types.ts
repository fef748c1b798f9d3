import type { ErrorClass } from '#db/schema.ts'
import type { OwnAddresses } from './own.ts'

/** The kind of a request's failure, as it is stored with attempts. */
export type EgressErrorClass = ErrorClass

/** A target that may be reached although it is not public. Without a port: on every port. */
export interface EgressAllowRule {
  /** As `new URL()` writes it, without a trailing dot. */
  host?: string
  cidr?: string
  port?: number
}

export interface EgressOptions {
  allow: readonly EgressAllowRule[]
  /** Resolvers as `ip[:port]`. Empty: the system's. */
  dnsServers: readonly string[]
  httpsOnly: boolean
  /** The service's own addresses: it does not call itself. */
  own?: OwnAddresses | undefined
  /** Further requests to that origin wait. Default 256. */
  maxConnectionsPerOrigin?: number | undefined
  /** Client certificates at an origin whose connections are kept. Default 256. */
  maxCertified?: number | undefined
  /** PEM of a certificate authority that is trusted beside the usual ones. */
  ca?: string | undefined
  /** The time for which a resolved name is used for new connections. Default and upper limit 5,000 ms. */
  dnsCacheMs?: number | undefined
}

/** The certificate by which a sender says who it is, and its key, as PEM. */
export interface ClientCertificate {
  /** Names owner and content: a connection that presented it carries requests with the same id alone. */
  id: string
  /** The sender's own certificate, then those of its issuers. */
  chain: string
  key: string
}

export interface EgressRequest {
  method: string
  url: string
  /** `host`, `connection` and the like are the door's own; a request that sets them is refused. */
  headers: Record<string, string>
  body?: string | Buffer | undefined
  /** From this call to the last byte of the response: DNS, waiting for a connection and TLS included. */
  timeoutMs: number
  /** The most bytes of the response's body that are kept. Default 16 KiB. */
  maxResponseBytes?: number | undefined
  /**
   * The request may go out again when a kept connection turns out to be closed, though the peer may have had it.
   * Default true; false for requests that must not be done twice.
   */
  resend?: boolean | undefined
  /** Texts that are taken out of the answer where the other side repeats them. */
  secrets?: readonly string[] | undefined
  /** The party that asks: connections to one origin are shared out by it. */
  party?: string | undefined
  /** Presented to an https server that asks for one. */
  clientCertificate?: ClientCertificate | undefined
  /** Gives up early. Reported like the deadline: `connect_timeout` or `timeout`. */
  signal?: AbortSignal | undefined
}

export interface EgressResponse {
  /** The status was 2xx and the response complete, or cut by us because it was too large. */
  ok: boolean
  /** Null when no response began; set, with `ok` false, when one began and then broke off. */
  status: number | null
  /** At most 50, lower-case names, each value at most 1 KiB. */
  headers: Record<string, string>
  /** UTF-8, invalid bytes and NUL replaced by U+FFFD, never longer than `maxResponseBytes` as UTF-8. */
  body: string
  /** There was more body than `body` holds. */
  truncated: boolean
  errorClass: EgressErrorClass | null
  /** A sentence for people, free of secrets and of addresses that the caller did not name. */
  errorDetail: string | null
  durationMs: number
  /** False only if it is certain that no byte of the request left this process. */
  bytesSent: boolean
  /** The delay that `Retry-After` asks for, from now, not clamped. */
  retryAfterMs: number | null
}

export interface EgressRefusal {
  code:
    | 'invalid_url'
    | 'https_required'
    | 'address_blocked'
    | 'own_address'
    | 'port_blocked'
    | 'credentials_in_url'
    | 'scheme_not_allowed'
  detail: string
}

export interface Egress {
  /** Sends one request. Any failure of the network is an answer; the promise never rejects. */
  request(request: EgressRequest): Promise<EgressResponse>
  /** Tells whether a URL may be saved: syntax, scheme, credentials, address. A name that does not resolve may. */
  check(url: string): Promise<EgressRefusal | null>
  /** The same without DNS. */
  checkText(url: string): EgressRefusal | null
  /** Ends everything at once; requests under way answer `reset`. May be called again. */
  close(): Promise<void>
}
