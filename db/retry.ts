import { setTimeout as delay } from 'node:timers/promises'
import { isLockNotAvailable, isPassing, isSerialisationConflict } from './errors.ts'

const LOCK_ATTEMPTS = 20
const LOCK_PAUSE_MS = 25
const FIRST_PAUSE_MS = 200

/** Runs a transaction that takes its locks by `nowait` again, for half a second: others hold them for milliseconds. */
export async function retryWhileLocked<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === LOCK_ATTEMPTS || !isLockNotAvailable(error)) throw error
      await delay(LOCK_PAUSE_MS)
    }
  }
}

/** Runs a transaction again, without a pause, that met another one head-on; `attempts` times at most. */
export async function retryOnConflict<T>(
  attempts: number,
  work: () => Promise<T>,
  isConflict: (error: unknown) => boolean = isSerialisationConflict,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === attempts || !isConflict(error)) throw error
    }
  }
}

/** Runs a statement again while its error is one that passes by itself, in growing pauses, for up to `patienceMs`. */
export async function retryWhilePassing<T>(patienceMs: number, work: () => Promise<T>): Promise<T> {
  const end = performance.now() + patienceMs
  for (let pause = FIRST_PAUSE_MS; ; pause *= 2) {
    try {
      return await work()
    } catch (error) {
      if (!isPassing(error) || performance.now() + pause > end) throw error
    }
    await delay(pause)
  }
}
