import fp from 'fastify-plugin'
import { addSharedGauge } from './metrics.ts'
import { withTimeout } from '#lib/async/timeout.ts'
import { selectOpenWriters } from './open-writer-repository.ts'

/** A transaction that has written and has not ended. */
export interface OpenWriter {
  /** Null: it is prepared, and no process has it. */
  pid: number | null
  /** The name that its connection gave; empty: none. */
  application: string
  since: Date
  seconds: number
}

interface OpenWriters {
  /** The oldest that has written events: later events are not shown to flows, waits and readers of the feed. */
  ofFeed: OpenWriter | null
  /** The oldest of all databases of the server: erasures wait for it, and vacuum leaves what it may still need. */
  ofServer: OpenWriter | null
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Looks at the server's open write transactions, at most once a second. */
    openWriters(): Promise<OpenWriters>
  }
}

/** Our own transactions take milliseconds: one that is open for so long is told. */
export const OPEN_WRITER_WARNING_SECONDS = 10
const CACHE_MS = 1_000
const QUERY_TIMEOUT_MS = 1_000

/** Tells of write transactions that stay open, of any client: by metrics, readiness and the log. */
export default fp(
  async (app) => {
    const known = new Map<string, { since: Date; isLogged: boolean }>()
    const look = async (): Promise<OpenWriters> => {
      const rows = await withTimeout(selectOpenWriters(app.pools.api), QUERY_TIMEOUT_MS)
      for (const id of known.keys()) if (!rows.some((row) => row.id === id)) known.delete(id)
      const writers = rows.map((row) => {
        const seen = known.get(row.id) ?? { since: row.since ?? row.now, isLogged: false }
        known.set(row.id, seen)
        const seconds = Math.max(0, (row.now.getTime() - seen.since.getTime()) / 1_000)
        if (seconds > OPEN_WRITER_WARNING_SECONDS && !seen.isLogged) {
          seen.isLogged = true
          const { pid, application, account, database, state, feed } = row
          app.log.warn(
            { backend_pid: pid, application, account, database, state, since: seen.since, holds_feed: feed },
            'a write transaction stays open',
          )
        }
        return {
          feed: row.feed,
          writer: { pid: row.pid, application: row.application, since: seen.since, seconds },
        }
      })
      return {
        ofFeed: writers.find(({ feed }) => feed)?.writer ?? null,
        ofServer: writers[0]?.writer ?? null,
      }
    }

    let latest: Promise<OpenWriters> | null = null
    let until = 0
    app.decorate('openWriters', () => {
      if (latest === null || Date.now() >= until) {
        until = Date.now() + CACHE_MS
        latest = look()
      }
      return latest
    })

    addSharedGauge(app.metrics.registry, {
      name: 'bcs_feed_horizon_age_seconds',
      help: 'For how long the oldest transaction has been open that holds back flows, waits and the feed',
      read: async () => (await app.openWriters()).ofFeed?.seconds ?? 0,
    })
    addSharedGauge(app.metrics.registry, {
      name: 'bcs_oldest_write_transaction_seconds',
      help: 'For how long the oldest write transaction has been open, of any database of the server',
      read: async () => (await app.openWriters()).ofServer?.seconds ?? 0,
    })
  },
  { name: 'open-writers', dependencies: ['db', 'metrics'] },
)
