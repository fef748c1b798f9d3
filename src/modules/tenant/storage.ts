import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { withSessionLock } from '#infra/session-lock-repository.ts'
import {
  isMeasured,
  sampleBytes,
  samplePercent,
  STORED_TABLES,
  type StoredBytes,
  writeStoredBytes,
} from './storage-repository.ts'

/** Pages of a table that one measurement reads at most: 16 MiB. */
const PAGES = 2_000
/** By so many standard errors what surely is there stays below the estimate: luck does not make up for that many. */
const SURE_ERRORS = 4

export interface StorageContext {
  db: Kysely<DB>
  pages?: number
}

/**
 * Measures what each tenant stores, in a sample of pages of each table: what it costs is bounded, however much there is.
 *
 * A count that is kept with every write would be exact, and would put a row of its tenant that all its writers wait for
 * into intake's shared statement, every boundary of an execution and every batch of retention. A sum over everything
 * grows with what is stored. A table of up to 16 MiB of rows is read whole, so that the figure is exact there. Beyond,
 * how near the estimate is depends on how many of a tenant's own pages the sample has: with 100 of them, alike, its
 * standard error is 10 %, with one 100 %, and more where few of them hold most. So a second figure tells what the
 * sample bears out, and nobody is refused for one large page that it happened to meet.
 *
 * @returns false if another process is at it
 */
export async function measureStorage(ctx: StorageContext, signal?: AbortSignal): Promise<boolean> {
  return alone(ctx, (db) => measure({ ...ctx, db }, signal))
}

/** Does so unless a process has within that time. */
export async function measureStorageOnce(
  ctx: StorageContext & { maxAgeMs: number },
  signal?: AbortSignal,
): Promise<void> {
  await alone(ctx, async (db) => {
    if (!(await isMeasured(db, ctx.maxAgeMs))) await measure({ ...ctx, db }, signal)
  })
}

/** @returns false if another process is at it */
async function alone(ctx: StorageContext, work: (db: Kysely<DB>) => Promise<void>): Promise<boolean> {
  const done = await withSessionLock(ctx.db, 'storage', async (db) => {
    await work(db)
    return true
  })
  return done === true
}

async function measure({ db, pages = PAGES }: StorageContext, signal?: AbortSignal): Promise<void> {
  const stored = new Map<string, Estimate>()
  for (const table of STORED_TABLES) {
    if (signal?.aborted === true) return
    const percent = await samplePercent(db, table, pages)
    const share = percent / 100
    for (const { tenant_id: tenantId, bytes, sum_of_squares: squares } of await sampleBytes(
      db,
      table,
      percent,
    )) {
      const { seen, bytes: before, variance } = stored.get(tenantId) ?? { seen: 0, bytes: 0, variance: 0 }
      stored.set(tenantId, {
        seen: seen + bytes,
        bytes: before + bytes / share,
        variance: variance + (squares * (1 - share)) / share ** 2,
      })
    }
  }
  await writeStoredBytes(db, [...stored].map(toStoredBytes))
}

interface Estimate {
  /** In the sample itself. */
  seen: number
  bytes: number
  variance: number
}

function toStoredBytes([tenantId, { seen, bytes, variance }]: [string, Estimate]): StoredBytes {
  const least = Math.max(seen, bytes - SURE_ERRORS * Math.sqrt(variance))
  return { tenantId, bytes: Math.round(bytes), leastBytes: Math.round(least) }
}
