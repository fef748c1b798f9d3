import type pg from 'pg'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { selectSealedCounts } from './repository.ts'

/** The numbers of stored secrets, by the master key that sealed them. */
export interface SealedCounts {
  total: number
  /** Sealed under an older key that is configured. */
  older: number
  /** In use, and sealed under a key that is not configured. */
  unreadable: number
  /** Those by column, without zeros. */
  unreadableBy: { name: string; count: number }[]
}

/** Counts by the first bytes of the values: none is opened. */
export async function countSealed(
  pool: Pick<pg.Pool, 'query'>,
  box: Pick<SecretBox, 'prefixes'>,
): Promise<SealedCounts> {
  const rows = await selectSealedCounts(pool, box.prefixes)
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
