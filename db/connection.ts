import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { isRefusing } from './errors.ts'
import { readJson, readJsonb } from './json.ts'
import { readSession, type Session, SilenceWatch } from './silence-watch.ts'
import { WatchedClient } from './watched-client.ts'

export interface PoolOptions {
  readonly max: number
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
  readonly statementTimeoutMs: number
  readonly lockTimeoutMs: number
  readonly idleInTransactionTimeoutMs: number
  /** The time that a caller waits for a connection, be the server away or the pool busy. */
  readonly connectionTimeoutMs: number
  /**
   * A connection on which a statement is not answered for so long is given up, and earlier if the server says that it is
   * at no statement of it. Default: wait for ever.
   */
  readonly answerTimeoutMs?: number
  /** Told of every connection on which a statement or its answer was lost. */
  readonly onLost?: (session: Session) => void
  /** Told of every statement that the server refuses because it has to be put right first: its disk is full, or it only reads. With `answerTimeoutMs` alone. */
  readonly onRefused?: () => void
  /** false: a commit does not wait for the disk. A server crash may then lose the last half second of commits. */
  readonly synchronousCommit?: boolean
  /** Told of every connection that breaks; its user gets a rejection besides. */
  readonly onConnectionError?: (error: Error) => void
}

const KEEP_ALIVE_DELAY_MS = 10_000

/**
 * A pool whose connections may break at any time without ending the process: a client that is checked out (in
 * the middle of a transaction, say) has no 'error' listener of the pool's, and Node ends a process for that.
 *
 * Values: `int8` arrives as a number, and one beyond 2^53 - 1 rejects the query instead of being rounded;
 * `timestamptz` as a Date; `numeric` as a string; `json` and `jsonb` as db/json.ts says.
 */
export function createPool(url: string, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max,
    application_name: options.applicationName,
    // eslint-disable-next-line @typescript-eslint/no-misused-promises -- the pool awaits it; its types do not say so
    onConnect: (client) => setUp(client, options),
    connectionTimeoutMillis: options.connectionTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    types,
    ...(options.answerTimeoutMs !== undefined && {
      Client: watchedClient(url, options.answerTimeoutMs, options),
    }),
  })
  const onError = options.onConnectionError ?? (() => undefined)
  pool.on('connect', (client) => client.on('error', onError))
  // The pool repeats an idle client's error, which the client's own listener has seen already.
  pool.on('error', () => undefined)
  return pool
}

function watchedClient(
  url: string,
  answerTimeoutMs: number,
  { onLost, onRefused }: Pick<PoolOptions, 'onLost' | 'onRefused'>,
): new (config?: pg.ClientConfig) => pg.Client {
  const watch = new SilenceWatch(url, onLost)
  return class extends WatchedClient {
    constructor(config?: pg.ClientConfig) {
      super(config, watch, answerTimeoutMs)
      this.connection.on('errorMessage', (error: unknown) => {
        if (isRefusing(error)) onRefused?.()
      })
    }
  }
}

/** By statements: PgBouncer refuses connections that ask for settings at their start, unless it was told to ignore them. */
async function setUp(client: pg.ClientBase, options: PoolOptions): Promise<void> {
  const settings = [
    `statement_timeout = ${options.statementTimeoutMs}`,
    `lock_timeout = ${options.lockTimeoutMs}`,
    `idle_in_transaction_session_timeout = ${options.idleInTransactionTimeoutMs}`,
    ...(options.synchronousCommit === false ? ['synchronous_commit = off'] : []),
  ]
  // The pool's own timeout ends when the connection is there.
  const query = {
    text: settings.map((setting) => `set ${setting}`).join('; '),
    query_timeout: options.connectionTimeoutMs,
  }
  await client.query(query)
  if (client instanceof WatchedClient) client.session = await readSession(client, options.connectionTimeoutMs)
}

export function createKysely<DB>(pool: pg.Pool): Kysely<DB> {
  return new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })
}

const types = new pg.TypeOverrides()
types.setTypeParser(pg.types.builtins.INT8, parseInt8)
types.setTypeParser(pg.types.builtins.JSON, readJson)
types.setTypeParser(pg.types.builtins.JSONB, readJsonb)

function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} is not a safe JavaScript integer`)
  return value
}
