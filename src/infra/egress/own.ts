import { networkInterfaces } from 'node:os'
import { parseAddress } from '#lib/address.ts'
import { withoutTrailingDot } from './hostname.ts'

/** The addresses at which this service itself can be reached. */
export interface OwnAddresses {
  /** The URL at which clients reach it from outside; null: not configured. */
  publicUrl: string | null
  /** Returns the addresses on which it listens by now; a process that does not listen has none. */
  listening: () => readonly { address: string; port: number }[]
}

/** Requests that would come back to the service: an event that it sends to itself is taken as another one. */
export interface OwnPolicy {
  /** Tells whether a URL is under the public one. */
  isOwnUrl(host: string, port: number, path: string): boolean
  /** Tells whether a connection to the address would be to this process. */
  isOwnAddress(address: string, port: number): boolean
}

const DEFAULT_PORTS: readonly number[] = [80, 443]
const ANY_ADDRESS: readonly string[] = ['0.0.0.0', '::']
/** Interfaces come and go, but not with every connection. */
const INTERFACES_KNOWN_MS = 10_000

export function createOwnPolicy(own: OwnAddresses | undefined): OwnPolicy {
  const isOwnUrl = urlTest(own?.publicUrl ?? null)
  let interfaces: ReadonlySet<string> = new Set()
  let knownUntil = -Infinity
  const ofThisMachine = (): ReadonlySet<string> => {
    const now = performance.now()
    if (now < knownUntil) return interfaces
    knownUntil = now + INTERFACES_KNOWN_MS
    const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
    interfaces = new Set(addresses.map(({ address }) => canonical(address)))
    return interfaces
  }
  return {
    isOwnUrl,
    isOwnAddress(address, port) {
      const bound = own?.listening().filter((each) => each.port === port) ?? []
      if (bound.length === 0) return false
      const wanted = canonical(address)
      if (bound.some((each) => canonical(each.address) === wanted)) return true
      if (!bound.some((each) => ANY_ADDRESS.includes(each.address))) return false
      return isThisMachine(wanted) || ofThisMachine().has(wanted)
    },
  }
}

function urlTest(publicUrl: string | null): OwnPolicy['isOwnUrl'] {
  const url = publicUrl === null ? null : URL.parse(publicUrl)
  if (url === null) return () => false
  const host = withoutTrailingDot(url.hostname.replace(/^\[|\]$/g, ''))
  const ports = url.port === '' ? DEFAULT_PORTS : [Number(url.port)]
  const prefix = canonicalPath(url.pathname).replace(/\/+$/, '')
  return (theirs, port, path) => {
    if (theirs !== host || !ports.includes(port)) return false
    const [given = ''] = path.split('?', 1)
    const pathname = canonicalPath(given)
    return pathname === prefix || pathname.startsWith(`${prefix}/`)
  }
}

/** One text for a path, as proxies make it: they decode what needs no encoding, merge slashes and follow dots. */
function canonicalPath(path: string): string {
  const decoded = path.replace(/%([0-9a-f]{2})/gi, (_, code: string) => {
    const char = String.fromCharCode(Number.parseInt(code, 16))
    // What is not ASCII stays, in one spelling.
    return char < '\x80' ? char : `%${code.toUpperCase()}`
  })
  const parts: string[] = []
  for (const part of decoded.split(/[\\/]+/)) {
    if (part === '..') parts.pop()
    else if (part !== '.' && part !== '') parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** The whole of 127.0.0.0/8 leads here, and so does the address that stands for any. */
function isThisMachine(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || ANY_ADDRESS.includes(address)
}

/** One text for an address: IPv4 within IPv6 is that IPv4 address. */
function canonical(address: string): string {
  return parseAddress(address)?.toString() ?? address
}
