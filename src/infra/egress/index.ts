import { createSecureContext, getCACertificates } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { withTimeout } from '#lib/async/timeout.ts'
import { createAddressPolicy } from './allow.ts'
import { termsWith, type TlsTerms } from './client-certificate.ts'
import { createConnector } from './connect.ts'
import { Deadlines } from './deadlines.ts'
import { EgressError } from './errors.ts'
import { Exchange, refusedResponse } from './exchange.ts'
import type { OpenSocket } from './pool.ts'
import { createPools } from './pools.ts'
import { createNameResolver } from './resolve.ts'
import { createOwnPolicy } from './own.ts'
import { createTargetReader, isRefusal, OWN_ADDRESS } from './target.ts'
import type { ClientCertificate, Egress, EgressOptions } from './types.ts'

export { allowOrigin, parseEgressAllow } from './allow.ts'
export { refusedByTls } from './client-certificate.ts'
export { EGRESS_ERROR_CLASSES } from './error-classes.ts'
export type * from './types.ts'

const DEFAULT_MAX_CONNECTIONS_PER_ORIGIN = 256
/** Origins with open connections. */
const MAX_ORIGINS = 2_048
/** Client certificates at an origin with open connections: each holds a context of OpenSSL, some 100 KB. */
const MAX_CERTIFIED = 256
/** Saving a URL does not wait longer than this for DNS, in milliseconds. */
const CHECK_DNS_TIMEOUT_MS = 3_000

/**
 * Headers that the door itself sets. Of others, undici refuses `transfer-encoding`, `keep-alive`, `upgrade` and
 * `expect`.
 */
const RESERVED_HEADERS = new Set(['host', 'connection', 'accept-encoding'])

/**
 * The one door for outgoing HTTP. A request's URL is read once, its host is resolved here, every address
 * must be public or allowed by the operator, and the connection goes to an address that was checked.
 */
export function createEgress(options: EgressOptions): Egress {
  const policy = createAddressPolicy(options.allow)
  const own = createOwnPolicy(options.own)
  const readTarget = createTargetReader(policy, own, options.httpsOnly)
  const resolver = createNameResolver(options.dnsServers, options.dnsCacheMs)
  const connector = createConnector(resolver, policy, own)
  const trusted = options.ca === undefined ? {} : { ca: [...getCACertificates('default'), options.ca] }
  const anonymous: TlsTerms = { context: createSecureContext(trusted), isCertified: false }
  const openAnonymously: OpenSocket = (target, signal) => connector.open(target, signal, anonymous)
  const openAs = (certificate: ClientCertificate): OpenSocket => {
    let terms: TlsTerms | null = null
    return async (target, signal) =>
      connector.open(target, signal, (terms ??= termsWith(certificate, trusted)))
  }
  const { maxConnectionsPerOrigin: maxConnections = DEFAULT_MAX_CONNECTIONS_PER_ORIGIN } = options
  const pools = createPools(MAX_ORIGINS)
  const certifiedPools = createPools(options.maxCertified ?? MAX_CERTIFIED)
  const deadlines = new Deadlines<Exchange>()
  let closing: Promise<void> | null = null

  return {
    request(request) {
      if (closing !== null) return Promise.resolve(refusedResponse('reset', 'The service is shutting down'))
      const target = readTarget(request.url)
      if (isRefusal(target)) return Promise.resolve(refusedResponse('blocked', target.detail))
      const headers = headerPairs(request.headers)
      if (headers === null) {
        return Promise.resolve(
          refusedResponse('protocol_error', 'The request sets a header that is reserved'),
        )
      }
      const { method, body = null, clientCertificate: certificate } = request
      return new Promise((resolve) => {
        const pool =
          certificate === undefined || !target.secure
            ? pools.poolOf(target.origin, () => ({
                target,
                open: openAnonymously,
                maxConnections,
                isCertified: false,
              }))
            : certifiedPools.poolOf(`${target.origin} ${certificate.id}`, () => ({
                target,
                open: openAs(certificate),
                maxConnections,
                isCertified: true,
              }))
        const sent = { path: target.path, method, headers, body }
        new Exchange(request, sent, pool, deadlines, resolve).start()
      })
    },

    async check(url) {
      const target = readTarget(url)
      if (isRefusal(target)) return target
      const { unlessNamed } = target
      try {
        await withTimeout(connector.addressesOf(target), CHECK_DNS_TIMEOUT_MS)
        return null
      } catch (error) {
        if (!(error instanceof EgressError) || error.errorClass !== 'blocked') return unlessNamed
        if (error.message === unlessNamed?.detail) return unlessNamed
        const code = error.message === OWN_ADDRESS ? 'own_address' : 'address_blocked'
        return { code, detail: error.message }
      }
    },

    checkText(url) {
      const target = readTarget(url)
      return isRefusal(target) ? target : null
    },

    close() {
      closing ??= (async () => {
        // The newest first: those that wait must not be given the connections of those that end.
        for (const exchange of deadlines.all.toReversed()) {
          exchange.fail(new EgressError('reset', 'The service is shutting down'))
        }
        deadlines.stop()
        resolver.close()
        await Promise.all([pools.close(), certifiedPools.close()])
      })()
      return closing
    },
  }
}

/** As undici takes them fastest, with ours in front; null if one of them is not the caller's to set. */
function headerPairs(headers: Record<string, string>): string[] | null {
  // Nothing is decompressed here, so nothing may come compressed.
  const pairs = ['accept-encoding', 'identity']
  for (const name of Object.keys(headers)) {
    if (RESERVED_HEADERS.has(name) || RESERVED_HEADERS.has(name.toLowerCase())) return null
    pairs.push(name, headers[name] ?? '')
  }
  return pairs
}

declare module 'fastify' {
  interface FastifyInstance {
    egress: Egress
  }
}

export default fp(
  async (app: FastifyInstance, options: { egress: EgressOptions }) => {
    const egress = createEgress(options.egress)
    app.decorate('egress', egress)
    app.addHook('onClose', () => egress.close())
  },
  { name: 'egress' },
)
