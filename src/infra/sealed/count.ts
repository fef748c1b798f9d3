import type pg from 'pg'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { SEALED_COLUMNS } from './columns.ts'

/** How many stored secrets there are, by the master key that sealed them. */
export interface SealedCounts {
  total: number
  /** Sealed under an older key that is configured. */
  older: number
  /** In use, and sealed under a key that is not configured. */
  unreadable: number
  /** Those by column, without zeros. */
  unreadableBy: { name: string; count: number }[]
}

/** Counts by what the values start with: none is opened. */
export async function countSealed(
  pool: Pick<pg.Pool, 'query'>,
  box: Pick<SecretBox, 'prefixes'>,
): Promise<SealedCounts> {
  const { rows } = await pool.query<{ name: string; total: number; older: number; unreadable: number }>(
    COUNT,
    [box.prefixes.openable, box.prefixes.sealed],
  )
  const sum = (of: 'total' | 'older' | 'unreadable'): number => rows.reduce((all, row) => all + row[of], 0)
  return {
    total: sum('total'),
    older: sum('older'),
    unreadable: sum('unreadable'),
    unreadableBy: rows
      .filter((row) => row.unreadable > 0)
      .map(({ name, unreadable }) => ({ name, count: unreadable })),
  }
}

/** `plugin_secrets.sealed 2, plugins.headers_sealed 1` */
export function describeCounts(counts: readonly { name: string; count: number }[]): string {
  return counts.map(({ name, count }) => `${name} ${count}`).join(', ')
}

const COUNT = SEALED_COLUMNS.map(({ name, table, column, inUse }) => {
  const prefix = `substring(${column} from 1 for 5)`
  const isOpenable = `${prefix} = any($1::bytea[])`
  return `select '${name}' as name, count(*) as total,
    count(*) filter (where ${isOpenable} and ${prefix} <> $2) as older,
    count(*) filter (where not ${isOpenable} and ${inUse}) as unreadable
  from ${table} where ${column} is not null`
}).join('\nunion all\n')
