import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { codeOf, EgressError } from './errors.ts'
import type { ClientCertificate } from './types.ts'

/** The sender's side of TLS handshakes. */
export interface TlsTerms {
  readonly context: SecureContext
  /** A client certificate is presented to servers that ask for one. */
  readonly isCertified: boolean
}

/** Returns OpenSSL's reason not to take a certificate with its key; null: it does. */
export function refusedByTls({ chain, key }: Pick<ClientCertificate, 'chain' | 'key'>): string | null {
  try {
    createSecureContext({ cert: chain, key })
    return null
  } catch (error) {
    return codeOf(error)
  }
}

/** @throws {EgressError} tls_error: OpenSSL does not take the certificate, though it did when it was saved */
export function termsWith(
  { chain, key }: ClientCertificate,
  trusted: Pick<SecureContextOptions, 'ca'>,
): TlsTerms {
  try {
    return { context: createSecureContext({ ...trusted, cert: chain, key }), isCertified: true }
  } catch (cause) {
    throw new EgressError('tls_error', `The client certificate cannot be used (${codeOf(cause)})`, { cause })
  }
}
