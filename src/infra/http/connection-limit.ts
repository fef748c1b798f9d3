import fp from 'fastify-plugin'
import { Counter } from 'prom-client'

/** The rest is for deliveries and calls, for the database, and for files. */
const SHARE = 0.5
const LOG_PAUSE_MS = 60_000

/** Takes no more connections than leave files to open for the work itself: beyond them the process could do nothing. */
export default fp(
  async (app, { openFiles: limit }: { openFiles: number | null }) => {
    if (limit === null) return
    const dropped = new Counter({
      name: 'bcs_connections_dropped_total',
      help: 'Connections that were closed at once, as there were as many as the limit of open files allows',
      registers: [app.metrics.registry],
    })
    app.server.maxConnections = Math.floor(limit * SHARE)
    let quietUntil = 0
    app.server.on('drop', () => {
      dropped.inc()
      if (performance.now() < quietUntil) return
      quietUntil = performance.now() + LOG_PAUSE_MS
      app.log.warn(
        { open_files: limit, connections: app.server.maxConnections },
        'connections are refused: raise the limit of open files (ulimit -n), or find who opens so many',
      )
    })
  },
  { name: 'connection-limit', dependencies: ['metrics'] },
)
