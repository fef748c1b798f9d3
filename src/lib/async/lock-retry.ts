import { setTimeout as delay } from 'node:timers/promises'

const ATTEMPTS = 20
const PAUSE_MS = 25

/** Postgres' SQLSTATE for a lock that `nowait` or lock_timeout did not get. */
const LOCK_NOT_AVAILABLE = '55P03'

export function isLockNotAvailable(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, 'code') === LOCK_NOT_AVAILABLE
}

/** Runs a transaction that takes its locks by `nowait` again, for half a second: others hold them for milliseconds. */
export async function retryWhileLocked<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS || !isLockNotAvailable(error)) throw error
      await delay(PAUSE_MS)
    }
  }
}
