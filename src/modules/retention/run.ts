import { setTimeout as delay } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import type { LRUCache } from 'lru-cache'
import { boundedCache } from '#lib/bounded-cache.ts'
import type { DB } from '#db/schema.ts'
import { isLockNotAvailable, isUnavailable } from '#db/errors.ts'
import { everybody, selectTenantIds, type Whose, whoseIs } from './shop-repository.ts'

export interface RetentionContext {
  db: Kysely<DB>
  /** The days for which events, deliveries, executions, actions, ended jobs and revoked keys are kept. */
  days: number
  /** The days for which bodies of events, of plugins' answers and of automations' records are kept. */
  bodyDays: number
  /** Between batches, so that deleting never is most of the database's work. */
  pauseMs: number
  /** The places that this process has walked to; without it a run walks all. */
  memory?: Memory
  /** Told of each part that failed. */
  onFailure?: (failure: RetentionFailure) => void
}

/** A part of the work that failed: it is tried again at the next run, and kept none of the others from theirs. */
export interface RetentionFailure {
  /** A table's name, or `statistics`: something of it was to be deleted or emptied. */
  work: string
  /** The shop whose it is; null: no shop's. */
  tenantId: string | null
  error: unknown
}

export interface RetentionCounts {
  bodies: number
  responses: number
  events: number
  deliveries: number
  attempts: number
  executions: number
  log_entries: number
  invocations: number
  /** Executions, log entries and invocations whose bodies went. */
  records_emptied: number
  /** Messages that were told their flow. */
  messages_filled: number
  flows: number
  flow_versions: number
  /** Enrolments that are too old for any rule. */
  enrolments: number
  jobs: number
  keys: number
  /** Of browsers, and the portal links that they came by. */
  sessions: number
  /** Of the audit log, about what changed nothing. */
  audit_entries: number
  statistics: number
  /** Batches that were left for the next run because somebody held a lock. */
  postponed: number
  /** Parts that failed, and are tried again at the next run. */
  failed: number
}

export function noCounts(): RetentionCounts {
  return {
    bodies: 0,
    responses: 0,
    events: 0,
    deliveries: 0,
    attempts: 0,
    executions: 0,
    log_entries: 0,
    invocations: 0,
    records_emptied: 0,
    messages_filled: 0,
    flows: 0,
    flow_versions: 0,
    enrolments: 0,
    jobs: 0,
    keys: 0,
    sessions: 0,
    audit_entries: 0,
    statistics: 0,
    postponed: 0,
    failed: 0,
  }
}

/** The place of a walk, and the time of its start: epoch milliseconds. */
export interface Place {
  afterId: string
  since: number
}

export type Memory = LRUCache<string, Place>

/** The most places that are remembered; a walk whose place is forgotten begins at the start. */
const PLACES_MAX = 100_000

export function createMemory(): Memory {
  return boundedCache(PLACES_MAX)
}

export interface RetentionRun extends RetentionContext {
  counts: RetentionCounts
  signal: AbortSignal | undefined
  memory: Memory
  /** Epoch milliseconds. */
  now: number
}

export const DAY_MS = 86_400_000
const ROWS_A_STATEMENT = 1_000

export async function untilNone(
  run: RetentionRun,
  work: (limit: number) => Promise<number>,
  limit = ROWS_A_STATEMENT,
): Promise<number> {
  let total = 0
  for (;;) {
    const affected = await work(limit)
    total += affected
    if (affected < limit || run.signal?.aborted === true) return total
    await delay(run.pauseMs)
  }
}

/** So many parts of a run may fail: then it is no single shop's rows that are at fault. */
const FAILURES_MAX = 100

/**
 * Does a part of the work. If it fails, that is told, and the run goes on with the next part.
 * @throws what ends the run: the database is away, or too much has failed
 */
export async function apart(
  run: RetentionRun,
  of: Pick<RetentionFailure, 'work' | 'tenantId'>,
  part: () => Promise<void>,
): Promise<void> {
  try {
    await part()
  } catch (error) {
    if (isUnavailable(error) || run.counts.failed >= FAILURES_MAX) throw error
    run.counts.failed++
    run.onFailure?.({ ...of, error })
  }
}

/** Deletes rows of all shops, and shop by shop where that fails, so that one shop's rows keep nobody else's. */
export async function overAllShops(
  run: RetentionRun,
  work: string,
  deleteSome: (whose: Whose, limit: number) => Promise<number>,
  limit = ROWS_A_STATEMENT,
): Promise<number> {
  let total = 0
  const deleteOf = (whose: Whose): Promise<number> =>
    untilNone(
      run,
      async (most) => {
        const affected = await deleteSome(whose, most)
        total += affected
        return affected
      },
      limit,
    )
  try {
    await deleteOf(everybody)
  } catch (error) {
    if (isUnavailable(error)) throw error
    for (const tenantId of [null, ...(await selectTenantIds(run.db))]) {
      if (run.signal?.aborted === true) break
      await apart(run, { work, tenantId }, async () => {
        await deleteOf(whoseIs(tenantId))
      })
    }
  }
  return total
}

/** Leaves locked rows for a later run. */
export async function postponeIfLocked(run: RetentionRun, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isLockNotAvailable(error)) throw error
    run.counts.postponed++
  }
}
