import type pg from 'pg'

/** The first of those that wait for one other side. */
export interface HeldHead {
  id: string
  /** Events come in the order of their ids. */
  place: string
  /** When it came to the call, in epoch milliseconds. */
  since_ms: number
}

/** Which execution is first among those held back by a target; undefined: none is. */
export async function findHeldHead(
  pool: pg.Pool,
  tenantId: string,
  target: string,
): Promise<HeldHead | undefined> {
  const { rows } = await pool.query<HeldHead>({
    name: 'held_head',
    text: `select id, coalesce(event_id, id) as place,
             coalesce((state->'main'->>'since')::float8, extract(epoch from created_at)::float8 * 1000) as since_ms
           from automation_executions
           where tenant_id = $1 and held_by = $2 and status in ('waiting', 'running')
           order by coalesce(event_id, id) limit 1`,
    values: [tenantId, target],
  })
  return rows[0]
}

/**
 * Makes the next held ones due now, in the order of their events. One that is looking just now learns of it at its next
 * boundary; a row that is being written is left to the next release.
 *
 * @param own who asks for it
 * @returns how many there were
 */
export async function releaseHeld(
  pool: pg.Pool,
  {
    tenantId,
    target,
    most,
    now,
    own,
  }: { tenantId: string; target: string; most: number; now: Date | null; own: string },
): Promise<number> {
  const { rowCount } = await pool.query({
    name: 'release_held',
    text: `with next as materialized (
             select id, row_number() over (order by place) as number from (
               select id, coalesce(event_id, id) as place from automation_executions
               where tenant_id = $1 and held_by = $2 and status in ('waiting', 'running') and id <> $5
               order by coalesce(event_id, id) limit $3::int for update skip locked
             ) chosen
           )
           update automation_executions e
           set held_by = null,
               due_at = case when e.status = 'running' then e.due_at
                 else coalesce($4::timestamptz, clock_timestamp())
                   - ($3::int - next.number)::float8 * interval '1 microsecond' end
           from next where e.tenant_id = $1 and e.id = next.id`,
    values: [tenantId, target, most, now, own],
  })
  return rowCount ?? 0
}
