import { setTimeout as delay } from 'node:timers/promises'
import { JOB_TABLES } from '#infra/job-repository.ts'
import { withSessionLock } from '#infra/session-lock-repository.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '#lib/id-range.ts'
import { ageAutomations } from './automations.ts'
import { fillFlows } from './message-repository.ts'
import { deleteOldStatistics } from './statistics.ts'
import {
  clearResponses,
  deleteAuditEntries,
  deleteAttempts,
  deleteDeliveries,
  deleteEvents,
  deleteJobs,
  deleteRevokedKeys,
  deleteSessions,
  expireBodies,
  readClock,
  selectOld,
  type Subject,
  tenantsWithOld,
} from './repository.ts'
import {
  apart,
  createMemory,
  DAY_MS,
  noCounts,
  overAllShops,
  postponeIfLocked,
  type RetentionContext,
  type RetentionCounts,
  type RetentionRun,
  untilNone,
} from './run.ts'

export type { RetentionContext, RetentionCounts, RetentionFailure } from './run.ts'

/** Events a batch; their children go in statements of their own. */
const EVENTS_A_BATCH = 500
export const PAUSE_MS = 50
/** The days for which people can see which sessions there were. */
const SESSION_DAYS = 30

/**
 * Ages out everything that is old enough, oldest first; `now` replaces the database's clock. Ends early, between
 * two batches, when the signal is aborted. What fails of one shop keeps no other from its turn.
 * @returns null if another replica is at it
 */
export async function runRetention(
  ctx: RetentionContext,
  options: { now?: Date; signal?: AbortSignal } = {},
): Promise<RetentionCounts | null> {
  return withSessionLock(ctx.db, 'retention', async (db) =>
    ageOut({ ...ctx, db }, options.now ?? (await readClock(db)), options.signal),
  )
}

async function ageOut(
  ctx: RetentionContext,
  now: Date,
  signal: AbortSignal | undefined,
): Promise<RetentionCounts> {
  const counts = noCounts()
  const memory = ctx.memory ?? createMemory()
  const run: RetentionRun = { ...ctx, counts, signal, memory, now: now.getTime() }
  const before = new Date(now.getTime() - ctx.days * DAY_MS)
  const bodiesBefore = new Date(now.getTime() - ctx.bodyDays * DAY_MS)
  // First what goes as a whole: its body need not be taken out of it any more.
  await eachOldBatch(run, 'events', before, (tenantId, ids) => deleteBatch(run, tenantId, ids))
  await eachOldBatch(run, 'bodies', bodiesBefore, (tenantId, ids) => expireBatch(run, tenantId, ids))
  await ageAutomations(run, before, bodiesBefore)
  counts.messages_filled += await overAllShops(run, 'automation_messages', (whose, limit) =>
    fillFlows(run.db, whose, limit),
  )
  const beforeId = lowestIdAt(before.getTime() + ID_CLOCK_SLACK_MS)
  for (const table of JOB_TABLES) {
    counts.jobs += await overAllShops(run, table, (whose, limit) =>
      deleteJobs(run.db, table, whose, beforeId, before, limit),
    )
  }
  counts.audit_entries += await overAllShops(run, 'audit_log', (whose, limit) =>
    deleteAuditEntries(run.db, whose, beforeId, before, limit),
  )
  const sessionsBefore = new Date(now.getTime() - SESSION_DAYS * DAY_MS)
  for (const table of ['sessions', 'portal_links'] as const) {
    counts.sessions += await overAllShops(run, table, (whose, limit) =>
      deleteSessions(run.db, table, whose, sessionsBefore, limit),
    )
  }
  counts.keys += await overAllShops(run, 'api_keys', (whose, limit) =>
    deleteRevokedKeys(run.db, whose, before, limit),
  )
  await deleteOldStatistics(run)
  return counts
}

/** Events with deliveries that still wait are passed over. */
async function eachOldBatch(
  run: RetentionRun,
  subject: Subject,
  before: Date,
  work: (tenantId: string, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  const beforeId = lowestIdAt(before.getTime() + ID_CLOCK_SLACK_MS)
  for (const tenantId of await tenantsWithOld(run.db, subject, beforeId)) {
    await apart(run, { work: subject, tenantId }, async () => {
      let afterId: string | undefined = LOWEST_ID
      while (afterId !== undefined && run.signal?.aborted !== true) {
        const range = { afterId, beforeId, before, limit: EVENTS_A_BATCH }
        const events = await selectOld(run.db, tenantId, subject, range)
        const ids = events.filter(({ waiting }) => !waiting).map(({ id }) => id)
        if (ids.length > 0) await postponeIfLocked(run, () => work(tenantId, ids))
        afterId = events.length < EVENTS_A_BATCH ? undefined : events.at(-1)?.id
        if (afterId !== undefined) await delay(run.pauseMs)
      }
    })
  }
}

async function expireBatch(run: RetentionRun, tenantId: string, ids: readonly string[]): Promise<void> {
  const { db, counts } = run
  counts.responses += await untilNone(run, (limit) => clearResponses(db, tenantId, ids, limit))
  counts.bodies += await expireBodies(db, tenantId, ids)
}

/** Children first: a run that stops in between leaves nothing that hangs in the air. */
async function deleteBatch(run: RetentionRun, tenantId: string, ids: readonly string[]): Promise<void> {
  const { db, counts } = run
  counts.attempts += await untilNone(run, (limit) => deleteAttempts(db, tenantId, ids, limit))
  counts.deliveries += await untilNone(run, (limit) => deleteDeliveries(db, tenantId, ids, limit))
  counts.events += await deleteEvents(db, tenantId, ids)
}
