import type pg from 'pg'

/** Epoch milliseconds of the database's clock, now. */
export async function selectDatabaseTime(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ ms: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
  )
  if (rows[0] === undefined) throw new Error('the database answered without a row')
  return rows[0].ms
}
