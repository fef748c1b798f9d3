import type { TestApp } from '#test/support/app.ts'
import { STATS, type StatsKind } from '#infra/statistics/tables.ts'
import { addRows } from '#infra/statistics/write-repository.ts'
import { emptyHistogram } from '#lib/histogram.ts'

export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 86_400_000

export interface Seed {
  at: Date
  keys: Record<string, string>
  counts: Record<string, number>
  /** The number of values in each class. */
  latency?: Record<number, number>
  queueAge?: Record<number, number>
}

/** Adds rows as a process writes them. */
export async function seedStats(
  { app }: Pick<TestApp, 'app'>,
  kind: StatsKind,
  tenantId: string,
  seeds: readonly Seed[],
): Promise<void> {
  const rows = seeds.map(({ at, keys, counts, latency, queueAge }) => ({
    tenantId,
    minute: Math.floor(at.getTime() / MINUTE_MS) * 60,
    keys,
    counts: { ...counts },
    latency: Object.assign(emptyHistogram(), latency),
    queueAge: Object.assign(emptyHistogram(), queueAge),
  }))
  await addRows(app.pools.worker, STATS[kind], rows)
}
