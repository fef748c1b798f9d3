import type { Socket } from 'node:net'
import pg from 'pg'
import type { Session, SilenceWatch } from './silence-watch.ts'

/** The time that a reachable server needs to end a connection. */
const END_TIMEOUT_MS = 1_000
/** Nearly all statements are answered within milliseconds: after this one asks whether the server is still at it. */
const SILENT_AFTER_MS = 2_000

/**
 * A client that gives its connection up when a statement's answer is not going to come: after a failover or behind a dead
 * network nobody ever says that the other end is gone. Everything that waits on it rejects, and the pool
 * replaces it. Two things tell:
 *
 * - the server itself, asked over another connection, says that it is not at this statement (silence-watch.ts)
 * - `answerTimeoutMs` has passed. The server's own statement timeout must be shorter, so that a slow statement is not
 *   mistaken for a lost one.
 */
export class WatchedClient extends pg.Client {
  /** Set when the connection is there; without it only the deadline counts. */
  session: Session | null = null
  readonly #watch: SilenceWatch
  readonly #answerTimeoutMs: number
  #timer: NodeJS.Timeout | undefined
  #askedAt = 0
  /** Changes with each statement and each answer. */
  #turns = 0

  constructor(config: pg.ClientConfig | undefined, watch: SilenceWatch, answerTimeoutMs: number) {
    super(config)
    this.#watch = watch
    this.#answerTimeoutMs = answerTimeoutMs
    this.on('drain', () => this.#answered())
    this.on('end', () => this.#answered())
  }

  override query(...args: never[]): never {
    this.#answered()
    this.#askedAt = performance.now()
    this.#timer = setTimeout(() => this.#silent(), Math.min(SILENT_AFTER_MS, this.#answerTimeoutMs))
    return Reflect.apply(super.query.bind(this), this, args) as never
  }

  override end(...args: never[]): never {
    setTimeout(() => this.giveUp(), END_TIMEOUT_MS).unref()
    return Reflect.apply(super.end.bind(this), this, args) as never
  }

  giveUp(): void {
    this.connection.stream.destroy()
  }

  #answered(): void {
    this.#turns++
    clearTimeout(this.#timer)
  }

  #silent(): void {
    const leftMs = this.#askedAt + this.#answerTimeoutMs - performance.now()
    if (leftMs <= 0) {
      this.giveUp()
      return
    }
    const { stream } = this.connection as unknown as { stream: Socket }
    // A long statement has to leave first.
    if (stream.writableLength > 0) {
      this.#timer = setTimeout(() => this.#silent(), Math.min(SILENT_AFTER_MS, leftMs))
      return
    }
    this.#timer = setTimeout(() => this.giveUp(), leftMs)
    if (this.session === null) return
    this.#watch.add({
      session: this.session,
      // A long answer that arrives bit by bit is one.
      progress: () => `${this.#turns} ${stream.bytesRead}`,
      giveUp: () => this.giveUp(),
    })
  }
}
