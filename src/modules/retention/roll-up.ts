import type { Kysely } from 'kysely'
import { isUnavailable } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import { LOWEST_ID } from '#lib/id-range.ts'
import { selectRolledUntil } from '#infra/statistics/read-repository.ts'
import {
  rollingUp,
  type RollUpRange,
  selectLagging,
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
/** So many ranges of a tenant may fail at a pass: then its others are left for the next one. */
const FAILURES_A_TENANT = 5
/** So many ranges of a table may fail at a pass: then it is the database that does not get on. */
const FAILURES_MAX = 50

export interface RollUpContext {
  db: Kysely<DB>
}

interface RollUp extends RollUpContext {
  signal: AbortSignal | undefined
  now: number
}

/**
 * Rolls statistics up, from minutes to days: days from hours, hours from five minutes, those from minutes. A table that
 * fails keeps none of the others from it, nor does a tenant: it has a mark of its own then, by which its finer rows are
 * read and kept, and is tried again from there.
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

/** The failures of a tenant at this pass. */
interface Failure {
  count: number
  /** The start of the first range that is not rolled up: epoch milliseconds. */
  since: number
  error: unknown
}
type Failures = Map<string, Failure>

/** @throws {AggregateError} of what failed, after all tenants had their turn */
async function rollUpTable(run: RollUp, table: StatsTable): Promise<number> {
  const until = Math.floor((run.now - WRITTEN_AFTER_MS) / FINEST_MS) * FINEST_MS
  const before = (await selectRolledUntil(run.db, table, null))?.getTime() ?? null
  if (before !== null && until <= before) return 0
  const lagging = await selectLagging(run.db, table)
  const failures: Failures = new Map()
  let rows = 0
  for (let afterId = LOWEST_ID; ;) {
    const tenantIds = await selectTenants(run.db, table, afterId, TENANTS_A_STATEMENT)
    const last = tenantIds.at(-1)
    if (last === undefined) break
    for (const { ids, rolledUntil } of byMark(tenantIds, before, lagging)) {
      const again = againOf(rolledUntil, until)
      const since = await begin(run.db, table, ids, { before: rolledUntil, again, until })
      for (const range of rangesOf(since, until)) {
        if (run.signal?.aborted === true) return rows
        rows += await rollUp(run, table, ids, range, failures)
      }
    }
    afterId = last
  }
  await setRolledUntil(run.db, table, new Date(until), marksOf(failures, before, lagging))
  if (failures.size > 0) {
    const errors = [...failures].map(
      ([tenantId, { error }]) => new Error(`${table.name} of tenant ${tenantId}`, { cause: error }),
    )
    throw new AggregateError(errors, `${table.name} is not rolled up of ${errors.length} tenants`)
  }
  return rows
}

/** Groups tenants by how far they are rolled up: those without a mark of their own together. */
function byMark(
  tenantIds: readonly string[],
  before: number | null,
  lagging: ReadonlyMap<string, Date>,
): { ids: readonly string[]; rolledUntil: number | null }[] {
  const usual = tenantIds.filter((id) => !lagging.has(id))
  const others = tenantIds.flatMap((id) => {
    const mark = lagging.get(id)
    return mark === undefined ? [] : [{ ids: [id], rolledUntil: mark.getTime() }]
  })
  return [...(usual.length === 0 ? [] : [{ ids: usual, rolledUntil: before }]), ...others]
}

function againOf(before: number | null, until: number): number {
  const endsHour = before !== null && Math.floor(before / HOUR_MS) < Math.floor(until / HOUR_MS)
  return endsHour ? AGAIN_HOURLY_MS : AGAIN_MS
}

/** Says how far each tenant is rolled up of which something failed: no further back than it was. */
function marksOf(
  failures: Failures,
  before: number | null,
  lagging: ReadonlyMap<string, Date>,
): Map<string, Date> {
  return new Map(
    [...failures].map(([tenantId, { since, count }]) => {
      const mark = lagging.get(tenantId)?.getTime() ?? before ?? 0
      // After so many failures the rest was not tried: hours and days before the first of them may lack, too.
      return [tenantId, new Date(count >= FAILURES_A_TENANT ? mark : Math.max(mark, since))]
    }),
  )
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
 * Rolls a range up. Splits it into halves when that fails, and leaves out what fails even so: `failures` tells of it.
 * @throws what ends the pass: the database is away, or does not get on
 */
async function rollUp(
  run: RollUp,
  table: StatsTable,
  tenantIds: readonly string[],
  range: RollUpRange,
  failures: Failures,
): Promise<number> {
  const ids = tenantIds.filter((id) => (failures.get(id)?.count ?? 0) < FAILURES_A_TENANT)
  const [first] = ids
  if (first === undefined) return 0
  try {
    return await short(run.db, rollingUp(table, ids, range))
  } catch (error) {
    if (isUnavailable(error)) throw error
    const halves = halvesOf(ids, range)
    if (halves.length === 0) noteFailure(failures, first, range, error)
    let rows = 0
    for (const half of halves) rows += await rollUp(run, table, half.tenantIds, half.range, failures)
    return rows
  }
}

/** @throws the error, if it is one too many */
function noteFailure(failures: Failures, tenantId: string, range: RollUpRange, error: unknown): void {
  const since = range.since.getTime()
  const known = failures.get(tenantId)
  if (known === undefined) failures.set(tenantId, { count: 1, since, error })
  else {
    known.count++
    known.since = Math.min(known.since, since)
  }
  const all = [...failures.values()].reduce((sum, { count }) => sum + count, 0)
  if (all >= FAILURES_MAX) throw error
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
