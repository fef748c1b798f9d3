import { setTimeout as delay } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { LRUCache } from 'lru-cache'
import type { DB } from '#db/schema.ts'
import { isLockNotAvailable } from '#db/errors.ts'

export interface RetentionContext {
  db: Kysely<DB>
  /** How long events, deliveries, executions, actions, ended jobs and revoked keys are kept. */
  days: number
  /** How long bodies of events, of plugins' answers and of what automations did are kept. */
  bodyDays: number
  /** Between batches, so that deleting never is most of what the database does. */
  pauseMs: number
  /** How far this process has walked; without it a run walks all. */
  memory?: Memory
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
  flows: number
  flow_versions: number
  /** Who was in a flow too long ago for any rule. */
  enrolments: number
  jobs: number
  keys: number
  /** Of the audit log, about what changed nothing. */
  audit_entries: number
  /** Batches that were left for the next run because somebody held a lock. */
  postponed: number
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
    flows: 0,
    flow_versions: 0,
    enrolments: 0,
    jobs: 0,
    keys: 0,
    audit_entries: 0,
    postponed: 0,
  }
}

/** How far a walk has come, and since when: epoch milliseconds. */
export interface Place {
  afterId: string
  since: number
}

export type Memory = LRUCache<string, Place>

/** What is forgotten is walked from the start. */
const PLACES_MAX = 100_000

export function createMemory(): Memory {
  return new LRUCache({ max: PLACES_MAX })
}

export interface Run extends RetentionContext {
  counts: RetentionCounts
  signal: AbortSignal | undefined
  memory: Memory
  /** Epoch milliseconds. */
  now: number
}

export const DAY_MS = 86_400_000
const ROWS_A_STATEMENT = 1_000

export async function untilNone(
  run: Run,
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

/** What somebody holds a lock on is left for a later run. */
export async function postponeIfLocked(run: Run, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isLockNotAvailable(error)) throw error
    run.counts.postponed++
  }
}
