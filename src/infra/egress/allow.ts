import ipaddr from 'ipaddr.js'
import { isPublicAddress, parseAddress } from '#lib/address.ts'
import { withoutTrailingDot } from './hostname.ts'
import type { EgressAllowRule } from './types.ts'

/**
 * The operator's exceptions: `host-or-CIDR[:port]`, comma separated, IPv6 in brackets when a port follows
 * (`[::1]:3000`, `[fd00::/8]:443`).
 * @throws {Error} naming the entry that cannot be read
 */
export function parseEgressAllow(text: string): EgressAllowRule[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(parseEntry)
}

/** The origin of a URL that the operator configured: it is allowed, whatever network it is in. */
export function allowOrigin(url: string): EgressAllowRule[] {
  const { hostname, port, protocol } = new URL(url)
  return parseEgressAllow(`${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`)
}

function parseEntry(entry: string): EgressAllowRule {
  const { subject, port: portText } = splitPort(entry)
  const port = portText === null ? null : Number(portText)
  if (port !== null && (!/^\d{1,5}$/.test(portText ?? '') || port < 1 || port > 65_535)) {
    throw invalid(entry, 'the port is not a number from 1 to 65535')
  }
  const cidr = parseCidr(subject)
  const rule: EgressAllowRule = cidr === null ? { host: parseHost(subject, entry) } : { cidr }
  return port === null ? rule : { ...rule, port }
}

function splitPort(entry: string): { subject: string; port: string | null } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(entry)
  if (bracketed) return { subject: bracketed[1] ?? '', port: bracketed[2] ?? null }
  const parts = entry.split(':')
  if (parts.length !== 2) return { subject: entry, port: null }
  return { subject: parts[0] ?? '', port: parts[1] ?? null }
}

/** A range in canonical form, a single address as a range of one, or null if it is neither. */
function parseCidr(subject: string): string | null {
  const [base, bits, ...rest] = subject.split('/')
  const address = parseAddress(base ?? '')
  if (address === null || rest.length > 0) return null
  const width = address.kind() === 'ipv4' ? 32 : 128
  if (bits === undefined) return `${address.toString()}/${width}`
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > width) return null
  return `${address.toString()}/${Number(bits)}`
}

function parseHost(subject: string, entry: string): string {
  if (!/^[\p{L}\p{N}._-]+$/u.test(subject)) throw invalid(entry, 'it is neither a host name nor a CIDR')
  let hostname: string
  try {
    hostname = new URL(`http://${subject}/`).hostname
  } catch (cause) {
    throw invalid(entry, 'it is neither a host name nor a CIDR', cause)
  }
  if (parseAddress(hostname) !== null) throw invalid(entry, 'write the address in dotted decimal')
  return withoutTrailingDot(hostname)
}

function invalid(entry: string, why: string, cause?: unknown): Error {
  return new Error(`"${entry}" is not host-or-CIDR[:port]: ${why}`, { cause })
}

/** Decides about addresses: public ones, and those that a rule names. */
export interface AddressPolicy {
  /** A rule names the host itself, so all addresses that it resolves to are meant. */
  allowsHost(host: string, port: number): boolean
  allowsAddress(address: string, port: number): boolean
  /** A rule names the address, or the network that it is in. */
  namesAddress(address: string, port: number): boolean
  /** There is a rule for a network: a name may lead into it. */
  namesNetworks(port: number): boolean
}

export function createAddressPolicy(rules: readonly EgressAllowRule[]): AddressPolicy {
  const compiled = rules.map(({ host, cidr, port }) => ({
    host: host ?? null,
    cidr: cidr === undefined ? null : ipaddr.parseCIDR(cidr),
    port: port ?? null,
  }))
  const isFor = (only: number | null, port: number): boolean => only === null || only === port
  const namesAddress = (text: string, port: number): boolean => {
    const address = parseAddress(text)
    if (address === null) return false
    return compiled.some(
      ({ cidr, port: only }) =>
        cidr !== null && isFor(only, port) && cidr[0].kind() === address.kind() && address.match(cidr),
    )
  }
  return {
    allowsHost: (host, port) => compiled.some((rule) => rule.host === host && isFor(rule.port, port)),
    allowsAddress: (text, port) => isPublicAddress(text) || namesAddress(text, port),
    namesAddress,
    namesNetworks: (port) => compiled.some(({ cidr, port: only }) => cidr !== null && isFor(only, port)),
  }
}
