import { setTimeout as delay } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '../../lib/id-range.ts'
import { isLockNotAvailable } from '../../lib/lock-retry.ts'
import {
  clearResponses,
  deleteAttempts,
  deleteDeliveries,
  deleteEvents,
  deleteJobs,
  deleteRevokedKeys,
  expireBodies,
  readClock,
  selectOld,
  type Subject,
  tenantsWithOld,
  tryLock,
  unlock,
} from './repository.ts'

export interface RetentionContext {
  db: Kysely<DB>
  /** How long events, deliveries, ended jobs and revoked keys are kept. */
  days: number
  /** How long bodies of events and of plugins' answers are kept. */
  bodyDays: number
  /** Between batches, so that deleting never is most of what the database does. */
  pauseMs: number
}

export interface RetentionCounts {
  bodies: number
  responses: number
  events: number
  deliveries: number
  attempts: number
  jobs: number
  keys: number
  /** Batches that were left for the next run because somebody held a lock. */
  postponed: number
}

const DAY_MS = 86_400_000
/** Events a batch; their children go in statements of at most ROWS_A_STATEMENT. */
const EVENTS_A_BATCH = 500
const ROWS_A_STATEMENT = 1_000
export const PAUSE_MS = 50

/**
 * Ages out everything that is old enough, oldest first; `now` replaces the database's clock. Ends early, between
 * two batches, when the signal is aborted.
 * @returns null if another replica is at it
 */
export async function runRetention(
  ctx: RetentionContext,
  options: { now?: Date; signal?: AbortSignal } = {},
): Promise<RetentionCounts | null> {
  return ctx.db.connection().execute(async (db) => {
    if (!(await tryLock(db))) return null
    try {
      return await ageOut({ ...ctx, db }, options.now ?? (await readClock(db)), options.signal)
    } finally {
      // A connection that broke has lost the lock already.
      await unlock(db).catch(() => undefined)
    }
  })
}

interface Run extends RetentionContext {
  counts: RetentionCounts
  signal: AbortSignal | undefined
}

async function ageOut(
  ctx: RetentionContext,
  now: Date,
  signal: AbortSignal | undefined,
): Promise<RetentionCounts> {
  const counts = {
    bodies: 0,
    responses: 0,
    events: 0,
    deliveries: 0,
    attempts: 0,
    jobs: 0,
    keys: 0,
    postponed: 0,
  }
  const run: Run = { ...ctx, counts, signal }
  const before = new Date(now.getTime() - ctx.days * DAY_MS)
  const bodiesBefore = new Date(now.getTime() - ctx.bodyDays * DAY_MS)
  // First what goes as a whole: its body need not be taken out of it any more.
  await eachOldBatch(run, 'events', before, (tenantId, ids) => deleteBatch(run, tenantId, ids))
  await eachOldBatch(run, 'bodies', bodiesBefore, (tenantId, ids) => expireBatch(run, tenantId, ids))
  const beforeId = lowestIdAt(before.getTime() + ID_CLOCK_SLACK_MS)
  for (const table of ['replays', 'erasures'] as const) {
    counts.jobs += await untilNone(run, (limit) => deleteJobs(run.db, table, beforeId, before, limit))
  }
  counts.keys += await untilNone(run, (limit) => deleteRevokedKeys(run.db, before, limit))
  return counts
}

/** Events with deliveries that still wait are passed over. */
async function eachOldBatch(
  run: Run,
  subject: Subject,
  before: Date,
  work: (tenantId: string, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  const beforeId = lowestIdAt(before.getTime() + ID_CLOCK_SLACK_MS)
  for (const tenantId of await tenantsWithOld(run.db, subject, beforeId)) {
    let afterId: string | undefined = LOWEST_ID
    while (afterId !== undefined && run.signal?.aborted !== true) {
      const range = { afterId, beforeId, before, limit: EVENTS_A_BATCH }
      const events = await selectOld(run.db, tenantId, subject, range)
      const ids = events.filter(({ waiting }) => !waiting).map(({ id }) => id)
      if (ids.length > 0) await postponeIfLocked(run, () => work(tenantId, ids))
      afterId = events.length < EVENTS_A_BATCH ? undefined : events.at(-1)?.id
      if (afterId !== undefined) await delay(run.pauseMs)
    }
  }
}

async function expireBatch(run: Run, tenantId: string, ids: readonly string[]): Promise<void> {
  const { db, counts } = run
  counts.responses += await untilNone(run, (limit) => clearResponses(db, tenantId, ids, limit))
  counts.bodies += await expireBodies(db, tenantId, ids)
}

/** Children first: a run that stops in between leaves nothing that hangs in the air. */
async function deleteBatch(run: Run, tenantId: string, ids: readonly string[]): Promise<void> {
  const { db, counts } = run
  counts.attempts += await untilNone(run, (limit) => deleteAttempts(db, tenantId, ids, limit))
  counts.deliveries += await untilNone(run, (limit) => deleteDeliveries(db, tenantId, ids, limit))
  counts.events += await deleteEvents(db, tenantId, ids)
}

async function untilNone(run: Run, work: (limit: number) => Promise<number>): Promise<number> {
  let total = 0
  for (;;) {
    const affected = await work(ROWS_A_STATEMENT)
    total += affected
    if (affected < ROWS_A_STATEMENT || run.signal?.aborted === true) return total
    await delay(run.pauseMs)
  }
}

async function postponeIfLocked(run: Run, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isLockNotAvailable(error)) throw error
    run.counts.postponed++
  }
}
