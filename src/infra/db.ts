import fp from 'fastify-plugin'
import type { Kysely } from 'kysely'
import type pg from 'pg'
import type { Config } from '#config/config.ts'
import { createKysely, createPool } from '#db/connection.ts'
import type { DB } from '#db/schema.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The connections of requests. Short statements only: anything longer belongs to a worker. */
    db: Kysely<DB>
    /** The connections of workers: a long backlog never takes a request's connection. */
    workerDb: Kysely<DB>
    pools: { readonly api: pg.Pool; readonly worker: pg.Pool }
    /** Set by the first statement that the database refuses, whoever's; readiness then tries writes until one succeeds. */
    databaseRefusal: { isSuspected: boolean }
  }
}

/** More connections for requests only queue up inside Postgres on a small machine. */
const DEFAULT_CONNECTIONS: Config['connections'] = { api: 10, worker: 6 }
const API_STATEMENT_TIMEOUT_MS = 5_000
const WORKER_STATEMENT_TIMEOUT_MS = 30_000
/** Beyond its statement timeout a server that is there has answered, also when it cannot be asked otherwise. */
const ANSWER_MARGIN_MS = 1_000
const LOCK_TIMEOUT_MS = 2_000
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
/** With Postgres away a request must have its 503 within 2 s. */
const CONNECT_TIMEOUT_MS = 1_500

/** The time that a request's statement, and its wait for a connection, may take. */
export interface DatabaseTimeouts {
  statementMs: number
  connectMs: number
}

interface DbOptions {
  databaseUrl: string
  connections?: Config['connections']
  timeouts?: DatabaseTimeouts | undefined
}

export default fp(
  async (app, options: DbOptions) => {
    const { statementMs, connectMs } = options.timeouts ?? {
      statementMs: API_STATEMENT_TIMEOUT_MS,
      connectMs: CONNECT_TIMEOUT_MS,
    }
    const connections = options.connections ?? DEFAULT_CONNECTIONS
    const onLost = ({ pid }: { pid: number }): void =>
      app.log.warn({ backend_pid: pid }, 'a statement or its answer was lost: its connection is given up')
    const databaseRefusal = { isSuspected: false }
    const onRefused = (): void => {
      databaseRefusal.isSuspected = true
    }
    app.decorate('databaseRefusal', databaseRefusal)
    const api = createPool(options.databaseUrl, {
      max: connections.api,
      applicationName: 'bcs-api',
      statementTimeoutMs: statementMs,
      answerTimeoutMs: statementMs + ANSWER_MARGIN_MS,
      onLost,
      onRefused,
      lockTimeoutMs: LOCK_TIMEOUT_MS,
      idleInTransactionTimeoutMs: IDLE_IN_TRANSACTION_TIMEOUT_MS,
      connectionTimeoutMs: connectMs,
    })
    const worker = createPool(options.databaseUrl, {
      max: connections.worker,
      applicationName: 'bcs-worker',
      statementTimeoutMs: WORKER_STATEMENT_TIMEOUT_MS,
      answerTimeoutMs: WORKER_STATEMENT_TIMEOUT_MS + ANSWER_MARGIN_MS,
      onLost,
      onRefused,
      lockTimeoutMs: LOCK_TIMEOUT_MS,
      idleInTransactionTimeoutMs: IDLE_IN_TRANSACTION_TIMEOUT_MS,
      connectionTimeoutMs: connectMs,
      // A server crash may forget the last half second, but for writes that are flushed nevertheless: claims of
      // executions and lanes, and with them all that was written before, and boundaries (FLUSHED in db/fence.ts). It
      // forgets outcomes of deliveries, which go out again with the same webhook-id, and work that no call has left
      // for: an outcome costs no flush to disk.
      synchronousCommit: false,
    })
    app.decorate('pools', { api, worker })
    app.decorate('db', createKysely<DB>(api))
    app.decorate('workerDb', createKysely<DB>(worker))
    app.addHook('onClose', async () => {
      await Promise.all([api.end(), worker.end()])
    })
  },
  { name: 'db' },
)
