import { connect as connectSocket, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { parseAddress } from '#lib/address.ts'
import type { AddressPolicy } from './allow.ts'
import type { TlsTerms } from './client-certificate.ts'
import { connectError, EgressError, tlsError } from './errors.ts'
import type { NameResolver } from './resolve.ts'
import type { OwnPolicy } from './own.ts'
import { exceptionFor, OWN_ADDRESS, type RequestTarget } from './target.ts'

/** Of a name with many addresses, how many are tried. */
const ADDRESSES_TRIED = 4
/** An address that does not answer gives way to the next after this; the last has the whole deadline. */
const ADDRESS_TIMEOUT_MS = 2_000
/** TCP keep-alive probes start after this much silence, in milliseconds. */
const TCP_KEEP_ALIVE_MS = 60_000

export interface Connector {
  /**
   * A socket, with TLS where the target asks for it, to an address that was checked.
   * @throws {EgressError} dns_error, blocked, connect_refused, connect_timeout, reset or tls_error
   */
  open: (target: RequestTarget, signal: AbortSignal, terms: TlsTerms) => Promise<Socket>
  /**
   * Every address of a target, none of them forbidden.
   * @throws {EgressError} dns_error or blocked
   */
  addressesOf(target: RequestTarget): Promise<readonly string[]>
}

export function createConnector(resolver: NameResolver, policy: AddressPolicy, own: OwnPolicy): Connector {
  const addressesOf = async (target: RequestTarget): Promise<readonly string[]> => {
    const addresses = target.literal ? [target.host] : await resolver.resolve(target.host)
    if (addresses.some((address) => own.isOwnAddress(address, target.port))) {
      throw new EgressError('blocked', OWN_ADDRESS)
    }
    const { unlessNamed } = target
    if (unlessNamed !== null && !addresses.every((address) => policy.namesAddress(address, target.port))) {
      throw new EgressError('blocked', unlessNamed.detail)
    }
    // One forbidden address among public ones is a rebinding attempt or a mistake: neither is connected to.
    if (addresses.every((address) => isAllowed(target, address))) return addresses
    throw new EgressError(
      'blocked',
      `${target.host} resolves to an address that is not public. ${exceptionFor(target)}`,
    )
  }
  const isAllowed = (target: RequestTarget, address: string): boolean =>
    policy.allowsHost(target.host, target.port) || policy.allowsAddress(address, target.port)

  return {
    addressesOf,
    async open(target, signal, terms) {
      const addresses = await addressesOf(target)
      const socket = await connectToOneOf(addresses, target.port, signal)
      const peer = socket.remoteAddress
      if (
        peer === undefined ||
        !isAllowed(target, peer) ||
        !addresses.some((address) => isSame(address, peer))
      ) {
        socket.destroy()
        if (peer === undefined) throw new EgressError('reset', 'The connection was closed at once')
        throw new EgressError('blocked', 'The connection led to another address than the one checked')
      }
      return target.secure ? startTls(socket, target, terms, signal) : socket
    },
  }
}

async function connectToOneOf(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
): Promise<Socket> {
  const tried = addresses.slice(0, ADDRESSES_TRIED)
  let failure: unknown = new EgressError('dns_error', 'The host name has no address')
  for (const [index, address] of tried.entries()) {
    signal.throwIfAborted()
    const timeoutMs = index === tried.length - 1 ? null : ADDRESS_TIMEOUT_MS
    try {
      return await connectTo(address, port, timeoutMs, signal)
    } catch (error) {
      failure = error
    }
  }
  throw connectError(failure)
}

function connectTo(
  address: string,
  port: number,
  timeoutMs: number | null,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // An IP literal: Node looks nothing up.
    const socket = connectSocket({
      host: address,
      port,
      autoSelectFamily: false,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    })
    const timer =
      timeoutMs === null
        ? undefined
        : setTimeout(
            () => socket.destroy(new EgressError('connect_timeout', 'The host did not answer')),
            timeoutMs,
          )
    const stopWaiting = settleOnAbort(socket, signal)
    socket.once('connect', () => {
      clearTimeout(timer)
      stopWaiting()
      resolve(socket)
    })
    // Stays for the socket's life: an error between two owners must not be an uncaught one.
    socket.on('error', (error) => {
      clearTimeout(timer)
      stopWaiting()
      reject(error)
    })
  })
}

function startTls(
  socket: Socket,
  { host, literal }: RequestTarget,
  { context, isCertified }: TlsTerms,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const secure = connectTls({
      socket,
      // The name that the certificate must be for; an address is not sent as SNI (RFC 6066).
      host,
      ...(literal ? {} : { servername: host }),
      // No session of another connection is resumed: each shows the certificate of its own terms.
      secureContext: context,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
    })
    const stopWaiting = settleOnAbort(secure, signal)
    secure.once('secureConnect', () => {
      stopWaiting()
      resolve(secure)
    })
    secure.on('error', (error) => {
      stopWaiting()
      socket.destroy()
      reject(tlsError(error, isCertified))
    })
  })
}

/** Destroys a socket when the signal fires; returns what ends the watch. */
function settleOnAbort(socket: Socket, signal: AbortSignal): () => void {
  const abort = (): void => {
    socket.destroy(new EgressError('connect_timeout', 'No connection was established in time'))
  }
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return () => signal.removeEventListener('abort', abort)
}

function isSame(left: string, right: string): boolean {
  return parseAddress(left)?.toString() === parseAddress(right)?.toString()
}
