import type { FastifyInstance } from 'fastify'
import { JobLoop, type PassResult } from '#lib/async/job-loop.ts'
import { type JobTable, oldestFreeJobSeconds } from './job-repository.ts'

/** The kind of a table's jobs in metrics and the log. */
const KINDS: Record<JobTable, string> = {
  replays: 'replay',
  recoveries: 'recovery',
  erasures: 'erasure',
  bulk_changes: 'bulk_change',
  delivery_retries: 'delivery_retry',
}

/**
 * Told when jobs of a tenant have changed: one was asked for, got on, or ended. Null: one above all tenants, which no
 * tenant lists.
 */
export type JobListener = (tenantId: string | null) => void

/** Tells those who follow a tenant that its jobs of some tables read differently. */
export function tellJobs(app: FastifyInstance, ...tables: JobTable[]): JobListener {
  return (tenantId) => {
    if (tenantId === null) return
    for (const table of tables) app.changes.tell(tenantId, table)
  }
}

/** Backs up the signal. One statement each time, so that an idle service stays idle. */
const POLL_MS = 5_000

/** Works jobs of a table off in the background, a batch a turn, whenever `jobs_due` says that there are some. */
export function runJobs(
  app: FastifyInstance,
  { table, turn }: { table: JobTable; turn: (signal: AbortSignal) => Promise<PassResult> },
): void {
  const kind = KINDS[table]
  const loop = new JobLoop({
    pass: async (signal) => {
      const result = await turn(signal)
      if (result !== 'idle') app.metrics.claims.inc({ kind })
      return result
    },
    intervalMs: () => POLL_MS,
    onError: (error) => app.log.warn({ err: error }, `${kind}: stopped for now, it goes on at the next look`),
  })
  app.background({
    name: table,
    start: () => {
      app.signals.subscribe('jobs_due', () => loop.wake())
      loop.start()
    },
    stop: () => loop.stop(),
    probe: () => loop.standing,
    whenStuck: 'warning',
    queue: {
      what: `${table.charAt(0).toUpperCase()}${table.slice(1).replaceAll('_', ' ')}`,
      waitingSeconds: () => oldestFreeJobSeconds(app.pools.api, table),
    },
  })
}
