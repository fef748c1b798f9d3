/**
 * Retention: old data goes. Bodies of events, of plugins' answers and of automations' records after
 * BODY_RETENTION_DAYS; events with their deliveries and attempts, ended executions with their steps and messages,
 * actions and their log, versions and deleted flows that nothing refers to, ended jobs, revoked keys and entries of
 * the audit log about what changed nothing after RETENTION_DAYS; sessions and portal links 30 days after their end.
 * Finer rows of statistics go once they are rolled up, which is a loop of its own (roll-up.ts).
 *
 * It also fills in the flow of messages that were written before they had one (0054).
 *
 * What always holds:
 * - A delivery that is still to be made stays, and so do its event and the body, however old they are.
 * - A delivery goes with its event, never before or after it. Attempts go first, then deliveries, then the event with
 *   the records of its being set aside.
 * - An execution that runs or waits stays as it is: its days count from its end. Rows that were passed over for that
 *   are looked at again once a day, so that they go at most a day late.
 * - Statements change at most 1,000 rows, each in a transaction of its own that waits for a lock half a second at
 *   most. Nothing is scanned: old rows are found at the left edge of (tenant_id, id). Rolling up takes a slice of
 *   time of some tenants, and less where that is too much for a statement.
 * - Statistics are read from the coarser rows before the finer ones go.
 * - Rows of one shop that cannot be deleted keep no other shop's. Each failure is logged, and tried again an hour later.
 * - One replica at a time does it, and one rolls up, each by a lock of its database session.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { rollUpStatistics } from './roll-up.ts'
import { createMemory } from './run.ts'
import { PAUSE_MS, type RetentionFailure, runRetention } from './worker.ts'

export { rollUpStatistics } from './roll-up.ts'
export { type RetentionContext, type RetentionCounts, type RetentionFailure, runRetention } from './worker.ts'

const INTERVAL_MS = 3_600_000
/** The first pass over years of data may take hours; one of a day is not going to end. */
const PASS_MAX_MS = 24 * 3_600_000
/** Replicas that start together do not ask for the lock together. */
const JITTER_MS = 600_000
/** The interval of rolling up: readers of the last day then read a few minutes of minutes. */
const ROLL_UP_MS = 300_000
const ROLL_UP_JITTER_MS = 30_000
/** Also where processes live for minutes only. */
const FIRST_DELAY_MAX_MS = 60_000

export default async function retentionModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  const ctx = {
    db: app.workerDb,
    ...config.retention,
    pauseMs: PAUSE_MS,
    memory: createMemory(),
    onFailure: ({ work, tenantId, error }: RetentionFailure) => {
      app.log.warn(
        { err: error, work, tenant_id: tenantId },
        'retention: this failed, the rest goes on; it is tried again',
      )
    },
  }
  const loop = new JobLoop({
    pass: async (signal) => {
      const counts = await runRetention(ctx, { signal })
      if (counts !== null && Object.values(counts).some((count) => count > 0)) {
        app.log.info(counts, 'retention: aged out')
      }
      // As a pass that failed: the standing tells of it while it lasts.
      if (counts !== null && counts.failed > 0) throw new Error(`${counts.failed} parts of retention failed`)
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
  const rollUps = new JobLoop({
    pass: async (signal) => {
      await rollUpStatistics({ db: app.workerDb }, { signal })
      return 'idle'
    },
    firstDelayMs: Math.random() * FIRST_DELAY_MAX_MS,
    intervalMs: () => ROLL_UP_MS + Math.random() * ROLL_UP_JITTER_MS,
    onError: (error) =>
      app.log.warn({ err: error }, 'statistics: not all rolled up, it goes on in 5 minutes'),
  })
  app.background({
    name: 'statistics',
    start: () => rollUps.start(),
    stop: () => rollUps.stop(),
    probe: () => rollUps.standing,
    whenStuck: 'warning',
    // The first pass goes through all minutes that there are.
    stuckAfterMs: PASS_MAX_MS,
  })
}
