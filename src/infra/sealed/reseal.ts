import type pg from 'pg'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import { SEALED_COLUMNS, type SealedColumn } from './columns.ts'
import { readBatch, writeBatch } from './repository.ts'

export interface Resealed {
  /** Sealed under the current key now, and under an older one before. */
  resealed: number
  /** Left as they are: under a key that is not configured, or changed since they were sealed. */
  unreadable: number
}

export interface ResealOptions {
  batchSize?: number
  /** Told after each batch, which is committed by then. */
  onBatch?: (column: SealedColumn, sofar: Resealed) => void
}

const BATCH_SIZE = 500

/**
 * Seals what was sealed under older master keys under the current one, a batch a statement. The values themselves tell how
 * far it is: killed at any point, it goes on where it was when it is run again. A value that somebody changed since it was
 * read is left to them, so that it may run beside the service and beside itself.
 */
export async function reseal(pool: pg.Pool, box: SecretBox, options: ResealOptions = {}): Promise<Resealed> {
  const sofar: Resealed = { resealed: 0, unreadable: 0 }
  for (const column of SEALED_COLUMNS) await resealColumn(pool, box, column, sofar, options)
  return sofar
}

async function resealColumn(
  pool: pg.Pool,
  box: SecretBox,
  column: SealedColumn,
  sofar: Resealed,
  { batchSize = BATCH_SIZE, onBatch }: ResealOptions,
): Promise<void> {
  let after: string[] | null = null
  for (;;) {
    const rows = await readBatch(pool, box, column, after, batchSize)
    after = rows.at(-1)?.key ?? null
    if (after === null) return
    const changes = rows.flatMap((row) => {
      try {
        const context = secretContext(row.tenant, row.row, row.field)
        return [{ ...row, resealed: box.seal(box.open(row.sealed, context), context) }]
      } catch (error) {
        if (!(error instanceof SecretBoxError)) throw error
        sofar.unreadable++
        return []
      }
    })
    if (changes.length > 0) sofar.resealed += await writeBatch(pool, column, changes)
    onBatch?.(column, sofar)
  }
}
