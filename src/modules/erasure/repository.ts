import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Erasure } from './schemas.ts'

/** Makes the others that open an erasure for this tenant wait, so that the count stays true until the commit. */
export async function countOpenErasures(trx: Transaction<DB>, tenantId: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`erasures:${tenantId}`}, 0))`.execute(trx)
  const { open } = await trx
    .selectFrom('erasures')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('tenant_id', '=', tenantId)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  return open
}

export async function insertErasure(
  trx: Transaction<DB>,
  row: { id: string; tenant_id: string; path: string; value_hash: Buffer; value_sealed: Buffer },
): Promise<void> {
  await trx.insertInto('erasures').values(row).execute()
}

/** Newest first; `before` is the last id of the page before. */
export async function selectErasures(
  db: Kysely<DB>,
  tenantId: string,
  page: { before: string | null; limit: number },
): Promise<Erasure[]> {
  return selectErasure(db, tenantId)
    .$if(page.before !== null, (query) => query.where('id', '<', page.before))
    .orderBy('id', 'desc')
    .limit(page.limit)
    .execute()
}

export async function findErasure(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
): Promise<Erasure | undefined> {
  return selectErasure(db, tenantId).where('id', '=', id).executeTakeFirst()
}

function selectErasure(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('erasures')
    .select(['id', 'status', 'path', 'scanned', 'erased', 'error', 'created_at', 'finished_at'])
    .where('tenant_id', '=', tenantId)
}
