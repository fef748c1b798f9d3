import { type Check, ok, readRow, warning } from './check.ts'

/** Checks whether somebody works off what is due. */
export const workerCheck: Check = {
  name: 'worker',
  needs: 'tables',
  async run({ pool }) {
    const { workers, due } = await readRow<{ workers: number; due: boolean }>(
      pool,
      `select (select count(*) from delivery_workers where seen_at > clock_timestamp() - interval '1 minute') as workers,
         exists (select from deliveries where status in ('pending', 'retry') and due_at < now() - interval '1 minute') as due`,
    )
    if (workers > 0) return [ok(`${workers} workers are there.`)]
    if (!due) return [ok('No worker runs, and nothing is due.')]
    return [warning('Deliveries are due and no worker runs.', 'Start a process with ROLES=worker.')]
  },
}
