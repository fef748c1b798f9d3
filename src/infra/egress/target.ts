import { LRUCache } from 'lru-cache'
import { describeBlocked, parseAddress } from '#lib/address.ts'
import { hostNameFault, isNeverPublicName } from '#lib/host-name.ts'
import type { AddressPolicy } from './allow.ts'
import { withoutTrailingDot } from './hostname.ts'
import { isRefusedPort } from './ports.ts'
import type { OwnPolicy } from './own.ts'
import type { EgressRefusal } from './types.ts'

/** The target of a request, as `new URL()` understood it: the checked address is the one that is connected to. */
export interface RequestTarget {
  readonly origin: string
  readonly secure: boolean
  /** Lower case, punycode, no brackets, no trailing dot. */
  readonly host: string
  /** `host` is an address. */
  readonly literal: boolean
  readonly port: number
  /** Path and query. */
  readonly path: string
  /** The refusal that holds unless all of its addresses are in networks that the operator allowed. */
  readonly unlessNamed: EgressRefusal | null
}

export const OWN_ADDRESS = 'This is the service itself: what it sends to itself would come back without end'

/** URLs whose parsed form is kept: the hot ones are webhook URLs, one per plugin. */
const CACHE_ENTRIES = 8_192
/** Longer URLs are parsed each time. */
const CACHE_URL_CHARS = 1_024
/** Of all URLs together. */
const CACHE_CHARS = 2 * 1024 * 1024

export type TargetReader = (url: string) => RequestTarget | EgressRefusal

export function isRefusal(result: RequestTarget | EgressRefusal): result is EgressRefusal {
  return 'code' in result
}

/** Reads URLs by the rules that need no DNS, remembering the answers. */
export function createTargetReader(policy: AddressPolicy, own: OwnPolicy, httpsOnly: boolean): TargetReader {
  const cache = new LRUCache<string, RequestTarget | EgressRefusal>({
    maxSize: CACHE_CHARS,
    maxEntrySize: CACHE_URL_CHARS,
    // Not by `max`, for which memory is taken at once (lib/bounded-cache.ts).
    sizeCalculation: (_, url) => Math.max(CACHE_CHARS / CACHE_ENTRIES, url.length),
  })
  return (url) => {
    const known = cache.get(url)
    if (known !== undefined) return known
    const result = readTarget(url, policy, own, httpsOnly)
    cache.set(url, result)
    return result
  }
}

/** Says who can allow a target that is not public, and by which entry. */
export function exceptionFor({ host, port }: Pick<RequestTarget, 'host' | 'port'>): string {
  const subject = host.includes(':') ? `[${host}]` : host
  return `Whoever runs the service allows it by EGRESS_ALLOW=${subject}:${port}`
}

function readTarget(
  text: string,
  policy: AddressPolicy,
  own: OwnPolicy,
  httpsOnly: boolean,
): RequestTarget | EgressRefusal {
  const url = URL.parse(text)
  if (url === null) return { code: 'invalid_url', detail: 'This is not a valid absolute URL' }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return { code: 'scheme_not_allowed', detail: 'Only https and http URLs can be called' }
  }
  if (url.username !== '' || url.password !== '') {
    return { code: 'credentials_in_url', detail: 'A URL must not carry a user name or password' }
  }
  const host = withoutTrailingDot(url.hostname.replace(/^\[|\]$/g, ''))
  if (host === '') return { code: 'invalid_url', detail: 'The URL names no host' }
  const secure = url.protocol === 'https:'
  if (httpsOnly && !secure) return { code: 'https_required', detail: 'Only https URLs can be called here' }

  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port)
  if (port === 0) return { code: 'invalid_url', detail: 'Port 0 cannot be called' }
  const literal = parseAddress(host) !== null
  const fault = literal ? null : hostNameFault(host)
  if (fault !== null) {
    return { code: 'invalid_url', detail: `There can be no host of the name ${host.slice(0, 100)}: ${fault}` }
  }
  if (literal && !policy.allowsAddress(host, port)) {
    return {
      code: 'address_blocked',
      detail: `${host} is not a public address (${describeBlocked(host) ?? ''}). ${exceptionFor({ host, port })}`,
    }
  }
  const unlessNamed = privateRefusal(host, port, literal, policy)
  if (unlessNamed !== null && (literal || !policy.namesNetworks(port))) return unlessNamed
  const path = url.pathname + url.search
  if (own.isOwnUrl(host, port, path)) return { code: 'own_address', detail: OWN_ADDRESS }
  return { origin: url.origin, secure, host, literal, port, path, unlessNamed }
}

/** Returns the reason why only the operator may let a host and port be called; null: anybody may. */
function privateRefusal(
  host: string,
  port: number,
  literal: boolean,
  policy: AddressPolicy,
): EgressRefusal | null {
  if (policy.allowsHost(host, port) || (literal && policy.namesAddress(host, port))) return null
  if (!literal && isNeverPublicName(host)) {
    return {
      code: 'address_blocked',
      detail: `${host} is not a public name. ${exceptionFor({ host, port })}`,
    }
  }
  if (!isRefusedPort(port)) return null
  return {
    code: 'port_blocked',
    detail: `Port ${port} is not one that HTTP is spoken on. ${exceptionFor({ host, port })}`,
  }
}
