import fp from 'fastify-plugin'
import type { FastifyBaseLogger } from 'fastify'
import pg from 'pg'

/**
 * Hints between processes, over LISTEN/NOTIFY. A signal says "look there", never "do this": losing one costs at most
 * a poll interval, getting one twice costs nothing.
 *
 * Signals are sent after the commit of what they speak of, never inside its transaction: a transaction
 * that notifies takes a lock over the whole server at commit, so that all intake would commit one by one.
 * Ids published within COALESCE_MS travel together.
 */
export type SignalChannel =
  | 'deliveries_due'
  | 'workers_changed'
  | 'plugin_changed'
  | 'plugin_used'
  | 'key_changed'
  | 'session_changed'
  | 'jobs_due'
  | 'events_stored'
  | 'executions_due'
  | 'execution_followed'
  | 'step_started'
  | 'tenant_followed'
  | 'tenant_changed'

export interface Signals {
  /** Wakes subscribers here at once and those of other processes within a few milliseconds. */
  publish(channel: SignalChannel, ids: Iterable<string>): void
  /** `ids` is empty when the sender had too many to name: look everywhere. Returns the unsubscriber. */
  subscribe(channel: SignalChannel, listener: (ids: readonly string[]) => void): () => void
}

declare module 'fastify' {
  interface FastifyInstance {
    signals: Signals
  }
}

const PG_CHANNEL = 'bcs_signals'
/** Long enough to gather a burst of intake, short beside the 20 ms that a delivery may take to arrive. */
const COALESCE_MS = 3
/** Postgres takes less than 8,000 bytes; names are ASCII, and a UUID takes 39 of them. */
const MAX_PAYLOAD_BYTES = 7_900
/** Of more it is clear without writing them. */
const MAX_IDS_PER_SIGNAL = 200
const RECONNECT_MS = 1_000
/** A connection that hears nothing may be one that nothing reaches any more: it is asked, and has to answer. */
const HEARTBEAT_MS = 3_000
const HEARTBEAT_TIMEOUT_MS = 2_000

/** As a process sends it that runs no hub of its own. @param from not the name of a hub: none hears itself */
export async function notifyOnce(
  pool: pg.Pool,
  channel: SignalChannel,
  from: string,
  ids: string[],
): Promise<void> {
  const message: Message = { from, channel, ids }
  await pool.query('select pg_notify($1, $2)', [PG_CHANNEL, JSON.stringify(message)])
}

interface Message {
  from: string
  channel: SignalChannel
  ids: string[]
}

class SignalHub implements Signals {
  readonly #self = crypto.randomUUID()
  readonly #listeners = new Map<SignalChannel, Set<(ids: readonly string[]) => void>>()
  readonly #outbox = new Map<SignalChannel, Set<string>>()
  readonly #send: (payload: string) => Promise<unknown>
  readonly #url: string
  readonly #log: FastifyBaseLogger
  #client: pg.Client | null = null
  #flushTimer: NodeJS.Timeout | null = null
  #reconnectTimer: NodeJS.Timeout | null = null
  #stopped = false

  constructor(options: { url: string; send: (payload: string) => Promise<unknown>; log: FastifyBaseLogger }) {
    this.#url = options.url
    this.#send = options.send
    this.#log = options.log
  }

  publish(channel: SignalChannel, ids: Iterable<string>): void {
    if (this.#stopped) return
    const named = [...ids]
    this.#dispatch(channel, named)
    let waiting = this.#outbox.get(channel)
    if (waiting === undefined) this.#outbox.set(channel, (waiting = new Set()))
    for (const id of named) waiting.add(id)
    this.#flushTimer ??= setTimeout(() => void this.#flush(), COALESCE_MS)
  }

  subscribe(channel: SignalChannel, listener: (ids: readonly string[]) => void): () => void {
    let listeners = this.#listeners.get(channel)
    if (listeners === undefined) this.#listeners.set(channel, (listeners = new Set()))
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  /** Resolves once it listens, or has failed to and goes on trying. */
  async start(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'bcs-listen',
      connectionTimeoutMillis: 2_000,
      query_timeout: HEARTBEAT_TIMEOUT_MS,
    })
    const heartbeat = setInterval(() => {
      client.query('select').catch((error: unknown) => lost(error as Error))
    }, HEARTBEAT_MS).unref()
    const lost = (error?: Error): void => {
      clearInterval(heartbeat)
      if (this.#client !== client && !this.#stopped) return
      this.#client = null
      void client.end().catch(() => undefined)
      // A dead connection does not hear of its end either.
      if (error !== undefined) client.connection.stream.destroy()
      if (this.#stopped) return
      this.#log.warn({ err: error?.message }, 'signals: connection lost, polling until it is back')
      this.#reconnectLater()
    }
    this.#client = client
    client.on('error', lost)
    client.on('end', () => lost())
    client.on('notification', (message) => this.#receive(message.payload))
    try {
      await client.connect()
      await client.query(`listen ${PG_CHANNEL}`)
      // Signals that came while nobody listened here are unknown: look everywhere.
      for (const channel of this.#listeners.keys()) this.#dispatch(channel, [])
    } catch (error) {
      lost(error as Error)
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    if (this.#flushTimer !== null) {
      clearTimeout(this.#flushTimer)
      // What stopping left for others.
      await this.#flush()
    }
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer)
    const client = this.#client
    this.#client = null
    await client?.end().catch(() => undefined)
  }

  #reconnectLater(): void {
    this.#reconnectTimer ??= setTimeout(() => {
      this.#reconnectTimer = null
      if (!this.#stopped) void this.start()
    }, RECONNECT_MS).unref()
  }

  async #flush(): Promise<void> {
    this.#flushTimer = null
    const messages = [...this.#outbox].map(([channel, ids]) => this.#messageOf(channel, ids))
    this.#outbox.clear()
    await Promise.all(
      messages.map((message) =>
        this.#send(message).catch((error: unknown) => {
          this.#log.debug({ err: (error as Error).message }, 'signals: hint not sent, polling covers it')
        }),
      ),
    )
  }

  #messageOf(channel: SignalChannel, ids: ReadonlySet<string>): string {
    const message: Message = { from: this.#self, channel, ids: [] }
    if (ids.size > MAX_IDS_PER_SIGNAL) return JSON.stringify(message)
    const named = JSON.stringify({ ...message, ids: [...ids] })
    return named.length > MAX_PAYLOAD_BYTES ? JSON.stringify(message) : named
  }

  #receive(payload: string | undefined): void {
    let message: Message
    try {
      message = JSON.parse(payload ?? '') as Message
    } catch {
      return
    }
    if (message.from !== this.#self) this.#dispatch(message.channel, message.ids)
  }

  #dispatch(channel: SignalChannel, ids: readonly string[]): void {
    for (const listener of this.#listeners.get(channel) ?? []) listener(ids)
  }
}

export default fp(
  async (app, options: { databaseUrl: string }) => {
    const hub = new SignalHub({
      url: options.databaseUrl,
      send: (payload) =>
        app.pools.worker.query({
          name: 'notify',
          text: 'select pg_notify($1, $2)',
          values: [PG_CHANNEL, payload],
        }),
      log: app.log,
    })
    app.decorate('signals', hub)
    app.addHook('onReady', () => hub.start())
    app.addHook('onClose', () => hub.stop())
  },
  { name: 'signals', dependencies: ['db'] },
)
