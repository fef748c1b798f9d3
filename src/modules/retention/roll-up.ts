import type { Kysely } from 'kysely'
import { isStalled } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import { LOWEST_ID } from '#lib/id-range.ts'
import { selectRolledUntil } from '#infra/statistics/read-repository.ts'
import {
  rollingUp,
  type RollUpRange,
  selectOldest,
  selectTenants,
  setRolledUntil,
} from '#infra/statistics/rollup-repository.ts'
import { withSessionLock } from '#infra/session-lock-repository.ts'
import { SPANS, STATS, STATS_KINDS, type StatsTable } from '#infra/statistics/tables.ts'
import { readClock } from './repository.ts'
import { short } from './statement-repository.ts'

export const TENANTS_A_STATEMENT = 20
/** Written by then, unless Postgres was away. */
const WRITTEN_AFTER_MS = 120_000
const FINEST_MS = SPANS[1].seconds * 1_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** The time that is rolled up again, for rows that came late: more of it once an hour is over. */
const AGAIN_MS = 600_000
const AGAIN_HOURLY_MS = 2 * HOUR_MS
/** The time that one statement rolls up of minutes, and of coarser spans. */
const MINUTES_SLICE_MS = 1_800_000
const SLICE_MS = 6 * HOUR_MS
/** The most slices of coarser spans: over a long time, most of which is empty, a statement takes more. */
const SLICES_MAX = 48
/** Then it is the database that does not get on. */
const STALLED_MAX = 10

export interface RollUpContext {
  db: Kysely<DB>
}

interface RollUp extends RollUpContext {
  signal: AbortSignal | undefined
  now: number
}

/**
 * Rolls statistics up, from minutes to days: days from hours, hours from five minutes, those from minutes. A table that
 * fails keeps none of the others from it.
 *
 * @returns rows that were written; null if another replica is at it
 * @throws {AggregateError} of what failed
 */
export async function rollUpStatistics(
  ctx: RollUpContext,
  options: { now?: Date; signal?: AbortSignal } = {},
): Promise<number | null> {
  return withSessionLock(ctx.db, 'statistics', async (db) => {
    const now = options.now ?? (await readClock(db))
    const run = { db, signal: options.signal, now: now.getTime() }
    let rows = 0
    await eachTable(async (table) => {
      rows += await rollUpTable(run, table)
    })
    return rows
  })
}

/** @throws {AggregateError} of the failures, after all tables had their turn */
export async function eachTable(work: (table: StatsTable) => Promise<void>): Promise<void> {
  const errors: unknown[] = []
  for (const kind of STATS_KINDS) {
    try {
      await work(STATS[kind])
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, 'statistics are not rolled up or deleted yet')
}

async function rollUpTable(run: RollUp, table: StatsTable): Promise<number> {
  const until = Math.floor((run.now - WRITTEN_AFTER_MS) / FINEST_MS) * FINEST_MS
  const before = (await selectRolledUntil(run.db, table))?.getTime() ?? null
  if (before !== null && until <= before) return 0
  const endsHour = before !== null && Math.floor(before / HOUR_MS) < Math.floor(until / HOUR_MS)
  const again = endsHour ? AGAIN_HOURLY_MS : AGAIN_MS
  const stalled: unknown[] = []
  let rows = 0
  for (let afterId = LOWEST_ID; ;) {
    const tenantIds = await selectTenants(run.db, table, afterId, TENANTS_A_STATEMENT)
    const last = tenantIds.at(-1)
    if (last === undefined) break
    for (const range of rangesOf(await begin(run.db, table, tenantIds, { before, again, until }), until)) {
      if (run.signal?.aborted === true) return rows
      rows += await rollUp(run, table, tenantIds, range, stalled)
    }
    afterId = last
  }
  if (stalled.length > 0) throw stalled[0]
  await setRolledUntil(run.db, table, new Date(until))
  return rows
}

/** Finds from when on these tenants are rolled up. A long time without a row, after a shop's or our own pause, costs nothing. */
async function begin(
  db: Kysely<DB>,
  table: StatsTable,
  tenantIds: readonly string[],
  { before, again, until }: { before: number | null; again: number; until: number },
): Promise<number> {
  const since = before === null ? null : before - again
  if (since !== null && until - since < DAY_MS) return since
  // The coarsest row that may lack something begins with its day.
  const from = since === null ? 0 : Math.floor(since / DAY_MS) * DAY_MS
  const oldest = (await selectOldest(db, table, tenantIds, new Date(from)))?.getTime() ?? until
  return Math.max(since ?? 0, oldest)
}

/** Yields the ranges to roll up between two times, the finest first, cut to what a statement may take. */
function* rangesOf(since: number, until: number): Generator<RollUpRange> {
  for (const { seconds: span } of SPANS.slice(1)) {
    const ms = span * 1_000
    const [start, end] = [Math.floor(since / ms) * ms, Math.floor(until / ms) * ms]
    const wanted = ms === FINEST_MS ? MINUTES_SLICE_MS : Math.max(SLICE_MS, (end - start) / SLICES_MAX)
    const slice = Math.ceil(wanted / ms) * ms
    for (let from = start; from < end; from += slice) {
      yield { span, since: new Date(from), until: new Date(Math.min(from + slice, end)) }
    }
  }
}

/**
 * Rolls a range up. Splits it into halves when it takes too long, and leaves out what is too much even so: `stalled`
 * tells of it.
 */
async function rollUp(
  run: RollUp,
  table: StatsTable,
  tenantIds: readonly string[],
  range: RollUpRange,
  stalled: unknown[],
): Promise<number> {
  try {
    return await short(run.db, rollingUp(table, tenantIds, range))
  } catch (error) {
    if (!isStalled(error)) throw error
    const halves = halvesOf(tenantIds, range)
    if (halves.length === 0 && stalled.push(error) >= STALLED_MAX) throw error
    let rows = 0
    for (const half of halves) rows += await rollUp(run, table, half.tenantIds, half.range, stalled)
    return rows
  }
}

/** Fewer tenants, else a shorter time; none: it is the least that there is. */
function halvesOf(
  tenantIds: readonly string[],
  range: RollUpRange,
): { tenantIds: readonly string[]; range: RollUpRange }[] {
  if (tenantIds.length > 1) {
    const middle = Math.ceil(tenantIds.length / 2)
    return [tenantIds.slice(0, middle), tenantIds.slice(middle)].map((half) => ({ tenantIds: half, range }))
  }
  const spans = (range.until.getTime() - range.since.getTime()) / (range.span * 1_000)
  if (spans <= 1) return []
  const middle = new Date(range.since.getTime() + Math.ceil(spans / 2) * range.span * 1_000)
  return [
    { tenantIds, range: { ...range, until: middle } },
    { tenantIds, range: { ...range, since: middle } },
  ]
}
