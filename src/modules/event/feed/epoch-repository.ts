import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/**
 * Gives the cluster and timeline that the service writes to its epoch, unless the newest one is theirs: after a dump was
 * restored elsewhere, or a standby promoted, transaction ids that were given out are given out again, and only a higher
 * epoch keeps new events behind the old ones.
 *
 * @returns the newest epoch
 */
export async function ensureFeedEpoch(db: Kysely<DB>): Promise<number> {
  await sql`select ensure_feed_epoch()`.execute(db)
  const { epoch } = await db
    .selectFrom('feed_epochs')
    .select('epoch')
    .orderBy('epoch', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow()
  return epoch
}

/** Tells which of these events the database does not have. */
export async function selectMissing(
  db: Kysely<DB>,
  events: readonly { tenantId: string; id: string }[],
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select known.id from unnest(${events.map(({ tenantId }) => tenantId)}::uuid[],
      ${events.map(({ id }) => id)}::uuid[]) with ordinality as known (tenant_id, id, number)
    left join events e on e.tenant_id = known.tenant_id and e.id = known.id
    where e.id is null order by known.number`.execute(db)
  return rows.map(({ id }) => id)
}
