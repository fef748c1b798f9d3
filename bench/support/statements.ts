import { setTimeout as delay } from 'node:timers/promises'
import type { Bed } from './bed.ts'

export interface StatementCount {
  total: number
  /** Calls by the beginning of the statement, most often called first; empty where only transactions are counted. */
  byStatement: Record<string, number>
}

/** A session reports its transactions at most once a second. */
const STATISTICS_LAG_MS = 1_500
const NAME_CHARS = 60

/** Tells how statements are counted on this server. */
export function countingMethod(bed: Bed): string {
  return bed.countsStatements
    ? 'calls of pg_stat_statements in the figure’s database'
    : 'transactions of pg_stat_database (there is no pg_stat_statements): a statement outside a transaction is one'
}

/** Counts what runs in one database while `work` does. The work itself must not query that database. */
export async function countStatements(
  bed: Bed,
  database: string,
  work: () => Promise<void>,
): Promise<StatementCount> {
  const before = await readCounts(bed, database)
  await work()
  const after = await readCounts(bed, database)
  const calls = [...after]
    .map(([statement, count]) => [statement, count - (before.get(statement) ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
  return {
    total: calls.reduce((sum, [, count]) => sum + count, 0),
    byStatement: bed.countsStatements ? Object.fromEntries(calls) : {},
  }
}

async function readCounts(bed: Bed, database: string): Promise<Map<string, number>> {
  if (!bed.countsStatements) await delay(STATISTICS_LAG_MS)
  const { rows } = await bed.admin.query<{ statement: string; calls: number }>(
    bed.countsStatements
      ? `select left(regexp_replace(query, '\\s+', ' ', 'g'), ${NAME_CHARS}) as statement, sum(calls)::float8 as calls
         from pg_stat_statements where dbid = (select oid from pg_database where datname = $1) group by 1`
      : `select 'all' as statement, (xact_commit + xact_rollback)::float8 as calls
         from pg_stat_database where datname = $1`,
    [database],
  )
  return new Map(rows.map(({ statement, calls }) => [statement, calls]))
}
