import type { Kysely } from 'kysely'
import type { FastifyBaseLogger } from 'fastify'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { selectLiveKeys } from '#infra/auth/repository.ts'
import { selectLiveSessions, type SessionGround } from '#infra/auth/session-repository.ts'
import { EventStream } from './event-stream.ts'

export interface StreamLimits {
  /** Proxies cut connections off that are silent for longer, 60 s being usual. */
  beatMs: number
  /** A reader that takes nothing for so long is cut off. */
  stallMs: number
  /**
   * The interval in which keys and sessions are looked up: a stream outlives its own by no more than this and one
   * look.
   */
  keyCheckMs: number
  /** Then the client comes back. */
  maxMs: number
  perTenant: number
  /** Of those a plugin's: they are no others' to lack. */
  perPlugin: number
  /** With all places taken, the tenant that has most gives way to one that has fewer. */
  perProcess: number
}

export const STREAM_LIMITS: StreamLimits = {
  beatMs: 15_000,
  stallMs: 60_000,
  keyCheckMs: 1_000,
  maxMs: 10 * 60_000,
  perTenant: 20,
  perPlugin: 5,
  perProcess: 500,
}

const CLIENT_RETRY_MS = 2_000

/** A stream that is open, with the data that its owner keeps for it. */
export interface OpenStream<Kept> {
  readonly tenantId: string
  readonly stream: EventStream
  readonly kept: Kept
}

interface Place<Kept> extends OpenStream<Kept> {
  /**
   * The key, and the session, that it was opened by and ends with; null: it was opened without one that could end.
   */
  keyId: string | null
  sessionId: string | null
  pluginId: string | null
  openedAt: number
  /** The time at which there was room last. */
  roomAt: number
}

export interface OpenStreamsOptions<Kept> {
  db: Kysely<DB>
  ground: SessionGround
  log: FastifyBaseLogger
  limits: StreamLimits
  /** A reader has taken something: there is room again. */
  onCapacity: () => void
  /** It is over, whichever side has ended it. */
  onClosed?: (closed: OpenStream<Kept>) => void
}

/**
 * The open event streams of a process: their places, shared out by tenant, the beat that keeps their connections, and
 * their ends: with their key or session, when they are old, when nobody reads, and before the server closes.
 */
export class OpenStreams<Kept> {
  readonly #options: OpenStreamsOptions<Kept>
  readonly #places = new Set<Place<Kept>>()
  #beatTimer: NodeJS.Timeout | null = null
  #closed = false
  #keysCheckedAt = -Infinity

  constructor(options: OpenStreamsOptions<Kept>) {
    this.#options = options
  }

  get size(): number {
    return this.#places.size
  }

  [Symbol.iterator](): Iterator<OpenStream<Kept>> {
    return this.#places.values()
  }

  has(open: OpenStream<Kept>): boolean {
    return this.#places.has(open as Place<Kept>)
  }

  /**
   * @param by its key and session, with which it ends
   * @returns null: there are too many. One that is opened while the server closes has ended already
   */
  open(
    tenantId: string,
    by: Pick<Actor, 'id' | 'session' | 'pluginId'>,
    kept: Kept,
  ): OpenStream<Kept> | null {
    if (!this.#closed && !this.#findPlace(tenantId, by.pluginId)) return null
    const stream = new EventStream(() => this.#options.onCapacity())
    stream.announceRetry(CLIENT_RETRY_MS)
    const now = performance.now()
    const place: Place<Kept> = {
      tenantId,
      stream,
      kept,
      keyId: by.id,
      sessionId: by.session?.id ?? null,
      pluginId: by.pluginId,
      openedAt: now,
      roomAt: now,
    }
    if (this.#closed) {
      stream.finish()
      return place
    }
    this.#places.add(place)
    stream.once('close', () => this.#remove(place))
    this.#beatTimer ??= setInterval(() => this.#beat(), this.#options.limits.beatMs)
    return place
  }

  /** Ends a stream when what was sent has been read. */
  end(open: OpenStream<Kept>): void {
    open.stream.finish()
    this.#remove(open as Place<Kept>)
  }

  /** Keys or sessions may have ended: the next look is not put off. */
  forgetKeyCheck(): void {
    this.#keysCheckedAt = -Infinity
  }

  /** Ends what was opened by a key or a session that is no more; one that reads nothing is cut off. */
  async endWithKeys(): Promise<void> {
    const looked = [...this.#places].filter(({ keyId, sessionId }) => keyId !== null || sessionId !== null)
    const now = performance.now()
    if (looked.length === 0 || now - this.#keysCheckedAt < this.#options.limits.keyCheckMs) return
    this.#keysCheckedAt = now
    const { db, ground } = this.#options
    const keyIds = new Set(looked.flatMap(({ keyId }) => keyId ?? []))
    const sessionIds = new Set(looked.flatMap(({ sessionId }) => sessionId ?? []))
    const look = async () =>
      Promise.all([
        keyIds.size === 0 ? keyIds : selectLiveKeys(db, [...keyIds]),
        sessionIds.size === 0 ? sessionIds : selectLiveSessions(db, [...sessionIds], ground),
      ])
    const [keys, sessions] = await look().catch((error: unknown) => {
      this.forgetKeyCheck()
      throw error
    })
    // One that was opened meanwhile is looked up next time.
    for (const place of looked) {
      const { keyId, sessionId } = place
      const lives = (keyId === null || keys.has(keyId)) && (sessionId === null || sessions.has(sessionId))
      if (!lives && this.#places.has(place)) this.#cutOff(place)
    }
  }

  /** Ends all streams. A client that does not read is cut off, or the server would wait for it. */
  close(): void {
    this.#closed = true
    for (const place of this.#places) this.#cutOff(place)
    if (this.#beatTimer !== null) clearInterval(this.#beatTimer)
  }

  #findPlace(tenantId: string, pluginId: string | null): boolean {
    const { perTenant, perPlugin, perProcess } = this.#options.limits
    // The oldest first.
    const byTenant = Map.groupBy(this.#places, (place) => place.tenantId)
    const own = byTenant.get(tenantId) ?? []
    if (own.length >= perTenant) return false
    if (pluginId !== null && own.filter((place) => place.pluginId === pluginId).length >= perPlugin)
      return false
    if (this.#places.size < perProcess) return true
    let most: Place<Kept>[] = []
    for (const places of byTenant.values()) if (places.length > most.length) most = places
    const [oldest] = most
    // Else they would take the place from each other.
    if (oldest === undefined || most.length <= own.length + 1) return false
    this.#cutOff(oldest)
    return true
  }

  #beat(): void {
    const now = performance.now()
    const { limits, log } = this.#options
    for (const place of this.#places) {
      const { stream, openedAt } = place
      if (stream.hasCapacity) {
        place.roomAt = now
        stream.beat()
        if (now - openedAt > limits.maxMs) this.end(place)
      } else if (now - place.roomAt > limits.stallMs) stream.destroy()
    }
    this.endWithKeys().catch((error: unknown) => {
      log.warn({ err: (error as Error).message }, 'streams: will look for their keys again')
    })
  }

  /** Ends a stream at once: events that wait for a reader that takes nothing are dropped. */
  #cutOff(place: Place<Kept>): void {
    if (place.stream.hasCapacity) {
      this.end(place)
      return
    }
    place.stream.destroy()
    this.#remove(place)
  }

  #remove(place: Place<Kept>): void {
    if (!this.#places.delete(place)) return
    this.#options.onClosed?.(place)
    if (this.#places.size > 0 || this.#beatTimer === null) return
    clearInterval(this.#beatTimer)
    this.#beatTimer = null
  }
}
