import { setTimeout as delay } from 'node:timers/promises'
import type { Commands as Receiver } from '../processes/receiver.ts'
import type { Helper } from './ipc.ts'
import { isWaiting, setStatus } from './seed.ts'
import type { FigureDatabase } from './stage.ts'

const TIMEOUT_MS = 90_000
const POLL_MS = 10

/**
 * Releases a prefilled queue to the running worker. @returns deliveries per second, from the release to the last
 * outcome in the database
 */
export async function drainRate(options: {
  database: FigureDatabase
  receiver: Helper<Receiver>
  plugins: readonly string[]
  count: number
  /** Those of them that arrive. Left out: all. */
  arrivals?: number
}): Promise<number> {
  const { database, receiver, plugins, count, arrivals = count } = options
  await receiver.call('reset', null)
  const startedAt = performance.now()
  await setStatus(database.pool, plugins, 'active')
  const arrived = await receiver.call('waitFor', { count: arrivals, timeoutMs: TIMEOUT_MS })
  if (arrived < arrivals)
    throw new Error(`${arrived} of ${arrivals} deliveries arrived within ${TIMEOUT_MS} ms`)
  while (await isWaiting(database.pool)) {
    if (performance.now() - startedAt > TIMEOUT_MS) throw new Error('outcomes were not recorded in time')
    await delay(POLL_MS)
  }
  const seconds = (performance.now() - startedAt) / 1_000
  await setStatus(database.pool, plugins, 'paused')
  return count / seconds
}
