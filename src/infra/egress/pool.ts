import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { Client } from 'undici'
import { EgressError } from './errors.ts'
import type { Carrier, CarrierPool, Exchange } from './exchange.ts'
import { ContinueFilter } from './interim.ts'
import type { Target } from './target.ts'

/** Idle sockets are closed after this, unless the peer's `Keep-Alive` header says otherwise: Node closes at 5 s. */
const KEEP_ALIVE_MS = 4_000
const KEEP_ALIVE_MAX_MS = 60_000
/** Closed so much earlier than the peer's `Keep-Alive` header says, for the way there. */
const KEEP_ALIVE_MARGIN_MS = 1_000
const MAX_RESPONSE_HEADER_BYTES = 16 * 1024

export type OpenSocket = (target: Target, signal: AbortSignal) => Promise<Socket>

/**
 * The connections to one origin. undici's own Pool is not used: it forgets a connection whose connect failed
 * but goes on using it, beyond its bound and out of reach of `destroy()`, and it cannot give up on a request
 * that has no socket yet.
 */
export class OriginPool implements CarrierPool {
  readonly target: Target
  /** On `performance.now()`'s scale, kept by the owner. */
  usedAt = 0
  readonly #open: OpenSocket
  readonly #maxConnections: number
  readonly #onEmpty: (pool: OriginPool) => void
  readonly #connections = new Set<Connection>()
  readonly #idle: Connection[] = []
  readonly #waiting: Exchange[] = []

  constructor(target: Target, open: OpenSocket, maxConnections: number, onEmpty: (pool: OriginPool) => void) {
    this.target = target
    this.#open = open
    this.#maxConnections = maxConnections
    this.#onEmpty = onEmpty
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#idle.length === this.#connections.size
  }

  dispatch(exchange: Exchange): void {
    // The last one used first: the others grow old and close.
    const idle = this.#idle.pop()
    if (idle !== undefined) idle.send(exchange)
    else if (this.#connections.size < this.#maxConnections) this.#connect().send(exchange)
    else this.#waiting.push(exchange)
  }

  resend(exchange: Exchange, stale: Carrier): void {
    this.#waiting.unshift(exchange)
    void stale.discard()
  }

  async close(): Promise<void> {
    this.#waiting.length = 0
    await Promise.all([...this.#connections].map((connection) => connection.discard()))
  }

  /** Called by a connection whose exchange is complete. */
  released(connection: Connection): void {
    if (this.#waiting.length === 0) {
      this.#idle.push(connection)
      return
    }
    // Not from within undici's parser: it looks at a socket before reusing it only between two requests.
    queueMicrotask(() => {
      if (connection.isOver) return
      const next = this.#nextWaiting()
      if (next === undefined) this.#idle.push(connection)
      else connection.send(next)
    })
  }

  /** Called by a connection that is over. */
  removed(connection: Connection): void {
    this.#connections.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
    const next = this.#nextWaiting()
    if (next !== undefined) this.#connect().send(next)
    else if (this.#connections.size === 0) this.#onEmpty(this)
  }

  #connect(): Connection {
    const connection = new Connection(this, this.#open)
    this.#connections.add(connection)
    return connection
  }

  #nextWaiting(): Exchange | undefined {
    let next = this.#waiting.shift()
    while (next?.settled === true) next = this.#waiting.shift()
    return next
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
    this.#exchange = null
    if (this.#discarded !== null) return
    this.served += 1
    this.#pool.released(this)
  }

  discard(): Promise<void> {
    if (this.#discarded !== null) return this.#discarded
    this.#exchange = null
    this.#opening?.abort()
    this.#discarded = this.#client.destroy()
    this.#pool.removed(this)
    return this.#discarded
  }
}
