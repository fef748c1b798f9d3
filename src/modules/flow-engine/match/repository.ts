import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Tenants that one look at all cursors finds. */
export const LOOK_TENANTS = 100

/**
 * Tenants whose feed has gone on, or that have something to take up: one probe of the feed's index for each tenant with
 * flows.
 * @param held were at their quota when they were looked at, the longest ago first: without new
 *   events they come last
 */
export async function findBehind(db: Kysely<DB>, held: readonly string[]): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    with horizon as materialized (
      select feed_writer_horizon() as position
    ), behind as materialized (
      select c.tenant_id, c.catch_up, exists (
        select from events e where e.tenant_id = c.tenant_id and (e.position, e.id) > (c.position, c.event_id)
          and e.position < horizon.position
      ) as has_new
      from flow_cursors c, horizon
    )
    select behind.tenant_id from behind
    left join unnest(${[...held]}::uuid[]) with ordinality as held (tenant_id, place)
      on held.tenant_id = behind.tenant_id and not behind.has_new
    where behind.has_new or behind.catch_up
    order by held.place nulls first
    limit ${sql.lit(LOOK_TENANTS)}`.execute(db)
  return rows.map((row) => row.tenant_id)
}

/** Tells whether there are events that stand beyond the horizon, behind a writer that has not ended. */
export async function hasUnseen(trx: Transaction<DB>, tenantId: string): Promise<boolean> {
  const { rows } = await sql<{ unseen: boolean }>`
    with horizon as materialized (select feed_writer_horizon() as position)
    select exists (
      select from events where tenant_id = ${tenantId} and position >= (select position from horizon)
    ) as unseen`.execute(trx)
  return rows[0]?.unseen === true
}

export async function loadShapes(
  trx: Transaction<DB>,
  tenantId: string,
  more: readonly { event: string; paths: string }[],
): Promise<Map<string, string[]>> {
  const rows = await trx
    .selectFrom('automation_wait_shapes')
    .select(['event', 'paths'])
    .where('tenant_id', '=', tenantId)
    .execute()
  const shapes = new Map<string, Set<string>>()
  for (const { event, paths } of [...rows, ...more]) {
    const lists = shapes.get(event)
    if (lists === undefined) shapes.set(event, new Set([paths]))
    else lists.add(paths)
  }
  return new Map([...shapes].map(([event, lists]) => [event, [...lists]]))
}
