import { lookup, Resolver } from 'node:dns/promises'
import { boundedCache } from '#lib/bounded-cache.ts'
import { EgressError } from './errors.ts'

/**
 * The longest time for which an answer serves new connections. Long enough that a hot origin does not resolve for
 * each one, short enough that a name that moved is followed; every connection is checked against what it connects to.
 */
const DNS_CACHE_MAX_MS = 5_000
const DNS_CACHE_ENTRIES = 4_096
/** Per server and try; with two tries and c-ares' doubling a dead resolver costs 4.5 s. */
const DNS_TIMEOUT_MS = 1_500

export interface NameResolver {
  /**
   * Every IPv4 and IPv6 address of a name, IPv4 first.
   * @throws {EgressError} dns_error
   */
  resolve(host: string): Promise<readonly string[]>
  close(): void
}

/**
 * Without servers the system resolves, with its hosts file and search list. That runs on libuv's thread
 * pool, so names that hang hold up others; naming servers avoids it.
 */
export function createNameResolver(servers: readonly string[], cacheMs = DNS_CACHE_MAX_MS): NameResolver {
  const resolver = servers.length === 0 ? null : new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 })
  resolver?.setServers(servers)
  const lifetimeMs = Math.min(cacheMs, DNS_CACHE_MAX_MS)
  const cache = boundedCache<{ addresses: readonly string[]; expiresAt: number }>(DNS_CACHE_ENTRIES)
  const pending = new Map<string, Promise<readonly string[]>>()

  const ask = async (host: string): Promise<readonly string[]> => {
    try {
      const addresses = resolver === null ? await lookupAll(host) : await resolveAll(resolver, host)
      remember(host, addresses)
      return addresses
    } finally {
      pending.delete(host)
    }
  }
  const remember = (host: string, addresses: readonly string[]): void => {
    if (lifetimeMs <= 0) return
    cache.set(host, { addresses, expiresAt: performance.now() + lifetimeMs })
  }

  return {
    resolve(host) {
      const known = cache.get(host)
      if (known !== undefined && known.expiresAt > performance.now()) return Promise.resolve(known.addresses)
      const running = pending.get(host)
      if (running !== undefined) return running
      const asked = ask(host)
      pending.set(host, asked)
      return asked
    },
    close() {
      cache.clear()
      resolver?.cancel()
    },
  }
}

async function lookupAll(host: string): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true, order: 'ipv4first' })
    return found.map(({ address }) => address)
  } catch (cause) {
    throw dnsError(cause)
  }
}

async function resolveAll(resolver: Resolver, host: string): Promise<string[]> {
  // RFC 6761: names below localhost are this machine, whatever a server says.
  if (host === 'localhost' || host.endsWith('.localhost')) return ['127.0.0.1', '::1']
  const [v4, v6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const addresses = [v4, v6].flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  if (addresses.length > 0) return addresses
  throw dnsError(v4.status === 'rejected' ? v4.reason : null)
}

function dnsError(cause: unknown): EgressError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no address'
  return new EgressError('dns_error', `The host name could not be resolved (${code})`, { cause })
}
