/**
 * Retention: what is old goes. Bodies of events and of plugins' answers after BODY_RETENTION_DAYS, events with
 * their deliveries and attempts, ended jobs and revoked keys after RETENTION_DAYS.
 *
 * What always holds:
 * - A delivery that is still to be made stays, and so do its event and the body, however old they are.
 * - A delivery goes with its event, never before or after it. Attempts go first, then deliveries, then the event.
 * - Statements touch at most 1,000 rows, each in a transaction of its own that waits for a lock half a second at
 *   most. Nothing is scanned: old rows are found at the left edge of (tenant_id, id).
 * - One replica at a time does it, by a lock of its database session.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '../../config.ts'
import { JobLoop } from '../../lib/job-loop.ts'
import { PAUSE_MS, runRetention } from './worker.ts'

export { type RetentionContext, type RetentionCounts, runRetention } from './worker.ts'

const INTERVAL_MS = 3_600_000
/** Replicas that start together do not ask for the lock together. */
const JITTER_MS = 600_000
/** Also where processes live for minutes only. */
const FIRST_DELAY_MAX_MS = 60_000

export default async function retentionModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  if (!config.roles.worker) return
  const ctx = { db: app.workerDb, ...config.retention, pauseMs: PAUSE_MS }
  const loop = new JobLoop({
    pass: async (signal) => {
      const counts = await runRetention(ctx, { signal })
      if (counts !== null && Object.values(counts).some((count) => count > 0)) {
        app.log.info(counts, 'retention: aged out')
      }
      return 'idle'
    },
    firstDelayMs: Math.random() * FIRST_DELAY_MAX_MS,
    intervalMs: () => INTERVAL_MS + Math.random() * JITTER_MS,
    onError: (error) => app.log.warn({ err: error }, 'retention: stopped for now, it goes on in an hour'),
  })
  app.addHook('onReady', async () => loop.start())
  app.addHook('preClose', () => loop.stop())
}
