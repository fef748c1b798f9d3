/**
 * Retention: what is old goes. Bodies of events, of plugins' answers and of what automations did after
 * BODY_RETENTION_DAYS; events with their deliveries and attempts, ended executions with their steps and messages,
 * actions and their log, versions and deleted flows that nothing refers to, ended jobs, revoked keys and entries of the
 * audit log about what changed nothing after RETENTION_DAYS.
 *
 * What always holds:
 * - A delivery that is still to be made stays, and so do its event and the body, however old they are.
 * - A delivery goes with its event, never before or after it. Attempts go first, then deliveries, then the event.
 * - An execution that runs or waits stays as it is: its days count from its end. What was passed over for that is
 *   looked after again once a day, so that it goes at most a day late.
 * - Statements touch at most 1,000 rows, each in a transaction of its own that waits for a lock half a second at
 *   most. Nothing is scanned: old rows are found at the left edge of (tenant_id, id).
 * - One replica at a time does it, by a lock of its database session.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { createMemory } from './run.ts'
import { PAUSE_MS, runRetention } from './worker.ts'

export { type RetentionContext, type RetentionCounts, runRetention } from './worker.ts'

const INTERVAL_MS = 3_600_000
/** The first pass over years of data may take hours; one of a day is not going to end. */
const PASS_MAX_MS = 24 * 3_600_000
/** Replicas that start together do not ask for the lock together. */
const JITTER_MS = 600_000
/** Also where processes live for minutes only. */
const FIRST_DELAY_MAX_MS = 60_000

export default async function retentionModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  const ctx = { db: app.workerDb, ...config.retention, pauseMs: PAUSE_MS, memory: createMemory() }
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
  app.background({
    name: 'retention',
    start: () => loop.start(),
    stop: () => loop.stop(),
    probe: () => loop.standing,
    whenStuck: 'warning',
    // A pass goes through every tenant.
    stuckAfterMs: PASS_MAX_MS,
  })
}
