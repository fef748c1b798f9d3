import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6

/**
 * IPv4 that no public service answers on: the IANA special-purpose registry, multicast, class E, and the
 * metadata address of Azure, which looks public. Those of AWS, Google, Oracle and Alibaba lie inside
 * link-local, 192.0.0.0/24 and the carrier-grade NAT range.
 */
const BLOCKED_IPV4 = ranges({
  '0.0.0.0/8': 'this network',
  '10.0.0.0/8': 'private network',
  '100.64.0.0/10': 'carrier-grade NAT',
  '127.0.0.0/8': 'loopback',
  '168.63.129.16/32': 'cloud metadata',
  '169.254.0.0/16': 'link-local',
  '172.16.0.0/12': 'private network',
  '192.0.0.0/24': 'IETF protocol assignments',
  '192.0.2.0/24': 'documentation',
  '192.31.196.0/24': 'AS112',
  '192.52.193.0/24': 'automatic multicast tunneling',
  '192.88.99.0/24': '6to4 relay',
  '192.168.0.0/16': 'private network',
  '192.175.48.0/24': 'AS112',
  '198.18.0.0/15': 'benchmarking',
  '198.51.100.0/24': 'documentation',
  '203.0.113.0/24': 'documentation',
  '224.0.0.0/4': 'multicast',
  '240.0.0.0/4': 'reserved',
})

/** The special parts of 2000::/3; everything outside of it is refused as a whole. */
const BLOCKED_IPV6 = ranges({
  '2001::/23': 'IETF protocol assignments',
  '2001:db8::/32': 'documentation',
  '2002::/16': '6to4',
  '2620:4f:8000::/48': 'AS112',
  '3fff::/20': 'documentation',
})

/** Names for the usual addresses outside of 2000::/3: a better message than "not global unicast". */
const NAMED_IPV6 = ranges({
  '::/128': 'unspecified',
  '::1/128': 'loopback',
  '64:ff9b::/96': 'NAT64',
  '64:ff9b:1::/48': 'NAT64',
  '100::/64': 'discard',
  'fc00::/7': 'private network',
  'fe80::/10': 'link-local',
  'ff00::/8': 'multicast',
})

const GLOBAL_UNICAST_IPV6 = ipaddr.parseCIDR('2000::/3')

/**
 * An address in the usual notation (dotted decimal, or RFC 4291 without a zone); IPv4-mapped IPv6 becomes
 * the IPv4 address that it reaches. Null for everything else, octal and hexadecimal IPv4 included.
 */
export function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text)
  if (text.includes('%') || !ipaddr.IPv6.isValid(text)) return null
  const address = ipaddr.IPv6.parse(text)
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}

/**
 * Returns whether anyone on the internet could be meant: false for special ranges and for a text that is no address.
 */
export function isPublicAddress(text: string): boolean {
  return describeBlocked(text) === null
}

/** The name of the range that makes an address not public, or null if it is public. */
export function describeBlocked(text: string): string | null {
  const address = parseAddress(text)
  if (address === null) return 'not an IP address'
  if (address instanceof ipaddr.IPv4) return nameOf(address, BLOCKED_IPV4)
  if (address.match(GLOBAL_UNICAST_IPV6)) return nameOf(address, BLOCKED_IPV6)
  return nameOf(address, NAMED_IPV6) ?? 'outside of global unicast'
}

interface Range {
  readonly cidr: [Address, number]
  readonly name: string
}

function ranges(table: Record<string, string>): readonly Range[] {
  return Object.entries(table).map(([cidr, name]) => ({ cidr: ipaddr.parseCIDR(cidr), name }))
}

function nameOf(address: Address, table: readonly Range[]): string | null {
  return table.find((range) => address.match(range.cidr))?.name ?? null
}
