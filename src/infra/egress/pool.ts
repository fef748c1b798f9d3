import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { Client } from 'undici'
import { hasShare } from '#lib/async/share.ts'
import { EgressError } from './errors.ts'
import type { Carrier, CarrierPool, Exchange } from './exchange.ts'
import { ContinueFilter } from './interim.ts'
import type { RequestTarget } from './target.ts'

/** Idle sockets are closed after this, unless the peer's `Keep-Alive` header says otherwise: Node closes at 5 s. */
const KEEP_ALIVE_MS = 4_000
const KEEP_ALIVE_MAX_MS = 60_000
/** Closed so much earlier than the peer's `Keep-Alive` header says, for the way there. */
const KEEP_ALIVE_MARGIN_MS = 1_000
const MAX_RESPONSE_HEADER_BYTES = 16 * 1024

export type OpenSocket = (target: RequestTarget, signal: AbortSignal) => Promise<Socket>

export interface PoolOptions {
  target: RequestTarget
  open: OpenSocket
  maxConnections: number
  /** A client certificate is presented: all of its requests are one owner's. */
  isCertified: boolean
}

/**
 * The connections to one origin. undici's own Pool is not used: it forgets a connection whose connect failed
 * but goes on using it, beyond its bound and out of reach of `destroy()`, and it cannot give up on a request
 * that has no socket yet.
 */
export class OriginPool implements CarrierPool {
  readonly target: RequestTarget
  readonly isCertified: boolean
  /** On `performance.now()`'s scale, kept by the owner. */
  usedAt = 0
  readonly #open: OpenSocket
  readonly #maxConnections: number
  readonly #onEmpty: (pool: OriginPool) => void
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  /** By party, the one first whose turn it is. */
  readonly #waiting = new Map<string, Exchange[]>()
  /** Connections that carry something for a party. */
  readonly #busy = new Map<string, number>()

  constructor(
    { target, open, maxConnections, isCertified }: PoolOptions,
    onEmpty: (pool: OriginPool) => void,
  ) {
    this.target = target
    this.isCertified = isCertified
    this.#open = open
    this.#maxConnections = maxConnections
    this.#onEmpty = onEmpty
  }

  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#idle.length === this.#connections.size
  }

  dispatch(exchange: Exchange): void {
    if (this.#mayStart(exchange.party)) this.#start(exchange)
    else this.#wait(exchange, 'last')
  }

  resend(exchange: Exchange, stale: Carrier): void {
    this.#wait(exchange, 'first')
    void stale.discard()
  }

  async close(): Promise<void> {
    this.#waiting.clear()
    await Promise.all([...this.#connections].map((connection) => connection.discard()))
  }

  /** Called by a connection whose exchange for the party is complete. */
  released(connection: Connection, party: string): void {
    this.#left(party)
    if (this.#waiting.size === 0) {
      this.#idle.push(connection)
      return
    }
    // Not from within undici's parser: it looks at a socket before reusing it only between two requests.
    queueMicrotask(() => {
      if (connection.isOver) return
      this.#idle.push(connection)
      this.#startWaiting()
    })
  }

  /** Called by a connection that is over. @param party the one that it carried something for */
  removed(connection: Connection, party: string | null): void {
    if (party !== null) this.#left(party)
    this.#connections.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
    this.#startWaiting()
    if (this.#connections.size === 0 && this.#waiting.size === 0) this.#onEmpty(this)
  }

  #mayStart(party: string): boolean {
    const free = this.#idle.length + this.#maxConnections - this.#connections.size
    return hasShare(this.#busy.get(party) ?? 0, free)
  }

  #start(exchange: Exchange): void {
    const { party } = exchange
    this.#busy.set(party, (this.#busy.get(party) ?? 0) + 1)
    // The last one used first: the others grow old and close.
    const connection = this.#idle.pop() ?? this.#connect()
    connection.send(exchange)
  }

  #left(party: string): void {
    const left = (this.#busy.get(party) ?? 0) - 1
    if (left > 0) this.#busy.set(party, left)
    else this.#busy.delete(party)
  }

  #wait(exchange: Exchange, place: 'first' | 'last'): void {
    const queue = this.#waiting.get(exchange.party)
    if (queue === undefined) this.#waiting.set(exchange.party, [exchange])
    else if (place === 'first') queue.unshift(exchange)
    else queue.push(exchange)
  }

  /** Starts what there are connections for, one of each party after the other. */
  #startWaiting(): void {
    let started = true
    while (started) {
      started = false
      for (const [party, queue] of [...this.#waiting]) {
        while (queue[0]?.settled === true) queue.shift()
        const next = queue[0]
        if (next !== undefined && !this.#mayStart(party)) continue
        this.#waiting.delete(party)
        if (next === undefined) continue
        queue.shift()
        // Behind all others.
        if (queue.length > 0) this.#waiting.set(party, queue)
        this.#start(next)
        started = true
      }
    }
  }

  #connect(): Connection {
    const connection = new Connection(this, this.#open)
    this.#connections.add(connection)
    return connection
  }
}

/** One socket at a time to one origin, with one exchange at a time on it. */
class Connection implements Carrier {
  /** Responses that came over the present socket: more than none makes a sudden close look like idleness. */
  served = 0
  readonly #pool: OriginPool
  readonly #client: Client
  #exchange: Exchange | null = null
  #opening: AbortController | null = null
  readonly #continues = new ContinueFilter(MAX_RESPONSE_HEADER_BYTES, () => this.#exchange?.onContinue())
  #discarded: Promise<void> | null = null

  constructor(pool: OriginPool, open: OpenSocket) {
    this.#pool = pool
    this.#client = new Client(pool.target.origin, {
      pipelining: 1,
      // The exchange's own deadline is the only one.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
      keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
      connect: (_options, callback) => {
        const opening = new AbortController()
        this.#opening = opening
        this.served = 0
        open(pool.target, opening.signal)
          .then((socket) => {
            // undici would dial again and again if it were given a dead socket.
            if (socket.destroyed) throw new EgressError('reset', 'The connection was closed at once')
            this.#continues.watch(socket)
            callback(null, socket)
          })
          .catch((error: unknown) => {
            callback(error instanceof Error ? error : new Error('connect failed', { cause: error }), null)
          })
      },
    })
    // undici connects again by itself if the socket closed before the request was written.
    this.#client.on('disconnect', () => {
      if (this.#exchange === null) void this.discard()
    })
    // Only undici's own faults; without a listener one of them would end the process.
    const faults: EventEmitter = this.#client
    faults.on('error', () => void this.discard())
  }

  get isOver(): boolean {
    return this.#discarded !== null
  }

  send(exchange: Exchange): void {
    this.#exchange = exchange
    exchange.assign(this)
    this.#continues.expect()
    this.#client.dispatch(exchange.options, exchange)
  }

  release(): void {
    const party = this.#exchange?.party ?? ''
    this.#exchange = null
    if (this.#discarded !== null) return
    this.served += 1
    this.#pool.released(this, party)
  }

  discard(): Promise<void> {
    if (this.#discarded !== null) return this.#discarded
    const party = this.#exchange?.party ?? null
    this.#exchange = null
    this.#opening?.abort()
    this.#discarded = this.#client.destroy()
    this.#pool.removed(this, party)
    return this.#discarded
  }
}
