import { createPool } from '#db/connection.ts'

/** No statement of a figure is cut off before its own limit of time. */
const TIMEOUT_MS = 60_000

/** One connection, set up as a worker's, for a figure that runs a worker's statements itself. */
export function createWorkerPool(databaseUrl: string): ReturnType<typeof createPool> {
  return createPool(databaseUrl, {
    max: 1,
    applicationName: 'bench-worker',
    statementTimeoutMs: TIMEOUT_MS,
    lockTimeoutMs: TIMEOUT_MS,
    idleInTransactionTimeoutMs: TIMEOUT_MS,
    connectionTimeoutMs: TIMEOUT_MS,
    synchronousCommit: false,
  })
}
