import { oldestDueSeconds, oldestUnmatchedSeconds } from '#modules/flow-engine/index.ts'
import { oldestDueSeconds as oldestDueScheduleSeconds } from '#modules/flow-trigger/index.ts'
import { queueState } from '#modules/webhook-delivery/index.ts'
import { type Check, ok, readRow, warning } from './check.ts'

const WAITING_WARNING_SECONDS = 60

/** Checks whether somebody works off what is due. */
export const workerCheck: Check = {
  name: 'worker',
  needs: 'tables',
  async run({ pool }) {
    const { workers } = await readRow<{ workers: number }>(
      pool,
      `select count(*) as workers from delivery_workers where seen_at > clock_timestamp() - interval '1 minute'`,
    )
    if (workers > 0) return [ok(`${workers} workers are there.`)]
    const waiting = {
      deliveries: (await queueState(pool)).unattendedSeconds,
      'events for flows': await oldestUnmatchedSeconds(pool),
      executions: await oldestDueSeconds(pool),
      schedules: await oldestDueScheduleSeconds(pool),
    }
    const due = Object.entries(waiting).filter(([, seconds]) => seconds > WAITING_WARNING_SECONDS)
    if (due.length === 0) return [ok('No worker runs, and nothing is due.')]
    const what = due.map(([name, seconds]) => `${name} for ${Math.round(seconds)} s`).join(', ')
    return [warning(`No worker runs, and work waits: ${what}.`, 'Start a process with ROLES=worker.')]
  },
}
