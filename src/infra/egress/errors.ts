import type { EgressErrorClass } from './types.ts'

/** A failure that already knows its class. Its message becomes `errorDetail`. */
export class EgressError extends Error {
  readonly errorClass: EgressErrorClass
  constructor(errorClass: EgressErrorClass, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'EgressError'
    this.errorClass = errorClass
  }
}

const CERTIFICATE_PROBLEMS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'The certificate has expired',
  CERT_NOT_YET_VALID: 'The certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'The certificate is self-signed',
  ERR_TLS_CERT_ALTNAME_INVALID: 'The certificate is for another host',
  SELF_SIGNED_CERT_IN_CHAIN: 'The certificate chain ends in an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'The certificate was issued by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'The certificate chain is incomplete',
}

/** Alerts by which a server refuses the certificate that it was shown. */
const CLIENT_CERTIFICATE_REFUSED: Readonly<Record<string, string>> = {
  UNKNOWN_CA: 'it does not know the authority that issued it',
  CERTIFICATE_EXPIRED: 'it has expired',
  CERTIFICATE_REVOKED: 'it was revoked',
  UNSUPPORTED_CERTIFICATE: 'it is not of a kind that the server takes',
  CERTIFICATE_UNKNOWN: 'it did not pass its checks',
  BAD_CERTIFICATE: 'it did not pass its checks',
  ACCESS_DENIED: 'its owner may not come in',
}

/** undici refused the request itself, before a byte was written. */
const UNSENDABLE = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
])

/** Names an error that came before there was a connection. */
export function connectError(cause: unknown): EgressError {
  if (cause instanceof EgressError) return cause
  const code = codeOf(cause)
  if (code === 'ECONNREFUSED')
    return new EgressError('connect_refused', 'The connection was refused', { cause })
  if (code === 'ETIMEDOUT') return new EgressError('connect_timeout', 'The host did not answer', { cause })
  if (isClosedByPeer(cause)) {
    return new EgressError('reset', 'The connection was closed while it was being established', { cause })
  }
  // EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EMFILE …: there is no connection, and none was tried in vain.
  return new EgressError('connect_refused', `The host could not be reached (${code})`, { cause })
}

/** Names an error between the TCP connection and the end of the TLS handshake. */
export function tlsError(cause: unknown, isCertified: boolean): EgressError {
  if (cause instanceof EgressError || isClosedByPeer(cause)) return connectError(cause)
  const code = codeOf(cause)
  const detail =
    CERTIFICATE_PROBLEMS[code] ??
    clientCertificateDetail(code, isCertified) ??
    `The TLS handshake failed (${code})`
  return new EgressError('tls_error', detail, { cause })
}

/** @param isCertified a client certificate was there to be shown */
function clientCertificateDetail(code: string, isCertified: boolean): string | null {
  const alert = alertOf(code)
  const refused = CLIENT_CERTIFICATE_REFUSED[alert]
  if (isCertified && refused !== undefined) {
    return `The server does not accept the client certificate: ${refused} (${code})`
  }
  if (alert === 'CERTIFICATE_REQUIRED') {
    return isCertified
      ? 'The server asks for a client certificate of another kind than the stored one'
      : 'The server asks for a client certificate, and none is sent'
  }
  // By TLS 1.2 it may mean the same, or that there is no version or cipher in common.
  if (alert !== 'HANDSHAKE_FAILURE') return null
  const certificate = isCertified ? 'another client certificate' : 'a client certificate'
  return `The TLS handshake failed (${code}): the server asks for ${certificate}, or for another TLS version or cipher`
}

/** The name of a TLS alert; what stands before it in OpenSSL's code differs by its release: SSLV3, SSL/TLS, TLSV13. */
function alertOf(code: string): string {
  return /^ERR_SSL_.*_ALERT_(.+)$/.exec(code)?.[1] ?? ''
}

/**
 * Names an error on an established connection, in undici's, llhttp's and the socket's terms. By TLS 1.3 a client
 * certificate is refused only then.
 */
export function exchangeError(cause: unknown, isCertified: boolean): EgressError {
  if (cause instanceof EgressError) return cause
  const code = codeOf(cause)
  if (
    isClosedByPeer(cause) ||
    code === 'HPE_INVALID_EOF_STATE' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return new EgressError('reset', 'The connection was closed before the response was complete', { cause })
  }
  if (code === 'ETIMEDOUT') return new EgressError('timeout', 'The connection went silent', { cause })
  if (code === 'UND_ERR_HEADERS_OVERFLOW') {
    return new EgressError('protocol_error', 'The response headers are larger than 16 KiB', { cause })
  }
  if (UNSENDABLE.has(code)) {
    return new EgressError('protocol_error', `The request cannot be sent: ${messageOf(cause)}`, { cause })
  }
  const aboutCertificate = clientCertificateDetail(code, isCertified)
  if (aboutCertificate !== null) return new EgressError('tls_error', aboutCertificate, { cause })
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) {
    return new EgressError('tls_error', `TLS failed (${code})`, { cause })
  }
  if (code === 'UND_ERR_SOCKET') {
    return new EgressError('protocol_error', 'The peer answered with an interim status out of place', {
      cause,
    })
  }
  return new EgressError('protocol_error', 'The response is not valid HTTP/1.1', { cause })
}

/** Tells whether the peer ended the connection, as opposed to answering something wrong. */
export function isClosedByPeer(error: unknown): boolean {
  const code = codeOf(error)
  if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ECONNABORTED') return true
  // undici has one code for both; 100 or 101 that nobody asked for is "bad response" or "bad upgrade".
  return code === 'UND_ERR_SOCKET' && !messageOf(error).startsWith('bad ')
}

export function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null
  return typeof code === 'string' ? code : 'unknown'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}
