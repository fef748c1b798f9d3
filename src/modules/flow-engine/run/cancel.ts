import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { isLockNotAvailable } from '#db/errors.ts'
import { lockCursor } from '../match/cursor-repository.ts'
import { cancelExecutions, type CountCancelled, selectQueued } from './cancel-repository.ts'

/** Cancelled in one statement by a halt. */
const HALT_BATCH = 1_000

/** Lets those end that began before a halt and may have started something; who waits for them is not waited for. */
async function awaitStarts(db: Kysely<DB>, tenantId: string): Promise<void> {
  try {
    await db.transaction().execute((trx) => lockCursor(trx, tenantId, 'move'))
  } catch (error) {
    if (!isLockNotAvailable(error)) throw error
  }
}

/**
 * Drains what a halted tenant has queued, as far as it gets; what waits goes on waiting, for events too.
 * @param deadline by `performance.now()`
 * @returns how many were cancelled, and whether there were no more
 */
export async function cancelQueued(
  db: Kysely<DB>,
  tenantId: string,
  deadline = Infinity,
  onEnded?: CountCancelled,
): Promise<{ cancelled: number; complete: boolean }> {
  await awaitStarts(db, tenantId)
  let cancelled = 0
  while (performance.now() < deadline) {
    const ids = await selectQueued(db, tenantId, HALT_BATCH)
    if (ids.length === 0) return { cancelled, complete: true }
    cancelled += await cancelExecutions(db, tenantId, ids, 'halted', onEnded)
  }
  return { cancelled, complete: false }
}
