import type pg from 'pg'
import { isLockNotAvailable, isSerialisationConflict } from '#db/errors.ts'
import { secretContext } from '#infra/secrets.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import { SEALED_COLUMNS, type SealedColumn } from './columns.ts'

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
const ATTEMPTS = 5

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

interface SealedRow {
  key: string[]
  tenant: string
  row: string
  field: string
  sealed: Buffer
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

async function readBatch(
  pool: pg.Pool,
  box: SecretBox,
  { table, column, key, tenant, row, field }: SealedColumn,
  after: string[] | null,
  limit: number,
): Promise<SealedRow[]> {
  const columns = key.map((part) => part.column).join(', ')
  const start = key.map(({ type }, index) => `$${index + 3}::${type}`).join(', ')
  const { rows } = await pool.query<SealedRow>(
    `select array[${key.map((part) => `${part.column}::text`).join(', ')}] as key,
       ${tenant}::text as tenant, ${row}::text as row, ${field} as field, ${column} as sealed
     from ${table}
     where ${column} is not null and substring(${column} from 1 for 5) <> $1
       ${after === null ? '' : `and (${columns}) > (${start})`}
     order by ${columns} limit $2`,
    [box.prefixes.sealed, limit, ...(after ?? [])],
  )
  return rows
}

/** @returns how many were still as they had been read */
async function writeBatch(
  pool: pg.Pool,
  { table, column, key }: SealedColumn,
  changes: readonly (SealedRow & { resealed: Buffer })[],
): Promise<number> {
  const names = key.map((_, index) => `k${index}`)
  const arrays = key.map(({ type }, index) => `$${index + 3}::${type}[]`)
  const text = `update ${table} t set ${column} = new.resealed
    from unnest($1::bytea[], $2::bytea[], ${arrays.join(', ')}) as new (sealed, resealed, ${names.join(', ')})
    where ${key.map((part, index) => `t.${part.column} = new.k${index}`).join(' and ')} and t.${column} = new.sealed`
  const values = [
    changes.map((change) => change.sealed),
    changes.map((change) => change.resealed),
    ...key.map((_, index) => changes.map((change) => change.key[index])),
  ]
  for (let attempt = 1; ; attempt++) {
    try {
      return (await pool.query(text, values)).rowCount ?? 0
    } catch (error) {
      const wasInTheWay = isSerialisationConflict(error) || isLockNotAvailable(error)
      if (attempt === ATTEMPTS || !wasInTheWay) throw error
    }
  }
}
