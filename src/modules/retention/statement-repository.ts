import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

const LOCK_TIMEOUT = '500ms'

/** A transaction of one statement that rather gives up than keeps others waiting. @returns rows affected */
export async function short(db: Kysely<DB>, statement: RawBuilder<unknown>): Promise<number> {
  return db.transaction().execute(async (trx) => {
    await sql`set local lock_timeout = ${sql.lit(LOCK_TIMEOUT)}`.execute(trx)
    const { numAffectedRows } = await statement.execute(trx)
    return Number(numAffectedRows ?? 0)
  })
}
