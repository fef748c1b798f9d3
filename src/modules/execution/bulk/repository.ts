import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { chosen, type ExecutionFilter } from '../read/repository.ts'

/** The most that is counted of what a bulk change still has to do: nobody wants to wait for an exact count of millions. */
const COUNT_MAX = 100_000

/** Those that were asked to end, and run on to their next step, are done with. */
export async function selectToCancel(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter,
  limit: number,
): Promise<string[]> {
  return idsOf(await toCancel(db, tenantId, filter).limit(limit).execute())
}

export async function countToCancel(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter,
): Promise<number> {
  return count(db, toCancel(db, tenantId, filter).limit(COUNT_MAX))
}

/** Oldest first: what came first is done first. */
export async function selectToRetry(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter,
  page: { after: string | null; limit: number },
): Promise<string[]> {
  return idsOf(await toRetry(db, tenantId, filter, page.after).orderBy('e.id').limit(page.limit).execute())
}

export async function countToRetry(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter,
  after: string | null,
): Promise<number> {
  return count(db, toRetry(db, tenantId, filter, after).limit(COUNT_MAX))
}

function toCancel(db: Kysely<DB>, tenantId: string, filter: ExecutionFilter) {
  return chosen(db, tenantId, filter).select('e.id').where('e.cancel_reason', 'is', null)
}

/** Selects what has not been retried yet, so that calling again goes on. */
function toRetry(db: Kysely<DB>, tenantId: string, filter: ExecutionFilter, after: string | null) {
  return chosen(db, tenantId, filter)
    .select('e.id')
    .$if(after !== null, (query) => query.where('e.id', '>', after))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('automation_executions as r')
            .select('r.id')
            .whereRef('r.tenant_id', '=', 'e.tenant_id')
            .whereRef('r.retry_of', '=', 'e.id'),
        ),
      ),
    )
}

function idsOf(rows: readonly { id: string }[]): string[] {
  return rows.map(({ id }) => id)
}

async function count(db: Kysely<DB>, query: ReturnType<typeof toCancel>): Promise<number> {
  const { counted } = await db
    .selectFrom(query.as('chosen'))
    .select(sql<number>`count(*)`.as('counted'))
    .executeTakeFirstOrThrow()
  return counted
}
