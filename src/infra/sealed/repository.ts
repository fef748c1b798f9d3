import type pg from 'pg'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { SEALED_COLUMNS, type SealedColumn } from './columns.ts'
import { isLockNotAvailable, isSerialisationConflict } from '#db/errors.ts'
import { retryOnConflict } from '#db/retry.ts'

const COUNT = SEALED_COLUMNS.map(({ name, table, column, inUse }) => {
  const prefix = `substring(${column} from 1 for 5)`
  const isOpenable = `${prefix} = any($1::bytea[])`
  return `select '${name}' as name, count(*) as total,
    count(*) filter (where ${isOpenable} and ${prefix} <> $2) as older,
    count(*) filter (where not ${isOpenable} and ${inUse}) as unreadable
  from ${table} where ${column} is not null`
}).join('\nunion all\n')

export async function selectSealedCounts(
  pool: Pick<pg.Pool, 'query'>,
  { openable, sealed }: SecretBox['prefixes'],
): Promise<{ name: string; total: number; older: number; unreadable: number }[]> {
  const { rows } = await pool.query<{ name: string; total: number; older: number; unreadable: number }>(
    COUNT,
    [openable, sealed],
  )
  return rows
}

/** Counts plugins with a secret that no worker can open, whatever the reason. */
export async function countWaitingPlugins(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    'select count(*) as count from delivery_lanes where secret_unreadable',
  )
  return rows[0]?.count ?? 0
}

interface SealedRow {
  key: string[]
  tenant: string
  row: string
  field: string
  sealed: Buffer
}

export async function readBatch(
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

const ATTEMPTS = 5

/** @returns how many were still as they had been read */
export async function writeBatch(
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
  const isInTheWay = (error: unknown): boolean => isSerialisationConflict(error) || isLockNotAvailable(error)
  const { rowCount } = await retryOnConflict(ATTEMPTS, () => pool.query(text, values), isInTheWay)
  return rowCount ?? 0
}
