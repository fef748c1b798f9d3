import pg from 'pg'

/** The time that a reachable server needs to end a connection. */
const END_TIMEOUT_MS = 1_000

/**
 * A client that gives its connection up when a statement is not answered in time: after a failover or behind a dead
 * network nobody ever says that the other end is gone. Everything that waits on it rejects, and the pool
 * replaces it. The server's own statement timeout must be shorter, so that a slow statement is not mistaken for it.
 */
export function clientWithDeadline(answerTimeoutMs: number): new (config?: pg.ClientConfig) => pg.Client {
  return class DeadlineClient extends pg.Client {
    #deadline: NodeJS.Timeout | undefined

    constructor(config?: pg.ClientConfig) {
      super(config)
      this.on('drain', () => clearTimeout(this.#deadline))
      this.on('end', () => clearTimeout(this.#deadline))
    }

    override query(...args: never[]): never {
      clearTimeout(this.#deadline)
      this.#deadline = setTimeout(() => this.#giveUp(), answerTimeoutMs)
      return Reflect.apply(super.query.bind(this), this, args) as never
    }

    override end(...args: never[]): never {
      setTimeout(() => this.#giveUp(), END_TIMEOUT_MS).unref()
      return Reflect.apply(super.end.bind(this), this, args) as never
    }

    #giveUp(): void {
      this.connection.stream.destroy()
    }
  }
}
