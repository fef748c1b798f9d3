import type pg from 'pg'
import type { ClaimedExecution } from './execution-repository.ts'

/** The first of those that wait for one other side. */
export interface HeldHead {
  id: string
  /** Events come in the order of their ids. */
  place: string
  /** The time at which it came to the call, or the hours let it call, in epoch milliseconds. */
  since_ms: number
}

/** Of executions `e` that wait for a target: their place among those, since when they do, and that they still do. */
export const HELD_PLACE = 'coalesce(e.event_id, e.id)'
export const HELD_SINCE_MS = `coalesce((e.state->'main'->>'open_since')::float8, (e.state->'main'->>'since')::float8,
  extract(epoch from e.created_at)::float8 * 1000)`
export const IS_HELD = `e.status in ('waiting', 'running')`

/** Finds the execution that is first among those held back by a target; undefined: none is. */
export async function findHeldHead(
  pool: pg.Pool,
  tenantId: string,
  target: string,
): Promise<HeldHead | undefined> {
  const { rows } = await pool.query<HeldHead>({
    name: 'held_head',
    text: `select e.id, ${HELD_PLACE} as place, ${HELD_SINCE_MS} as since_ms from automation_executions e
           where e.tenant_id = $1 and e.held_by = $2 and ${IS_HELD} order by ${HELD_PLACE} limit 1`,
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

/**
 * Takes claimed executions of a tenant out of those that are held back by a target, before their next boundaries say so,
 * and has the one that is first by that look now. One that looks just now learns of it at its next boundary; so does a
 * claim whose row is being written, which counts as taken out.
 *
 * @returns whether there is one that looks now
 */
export async function leaveHeld(
  pool: pg.Pool,
  claims: readonly Pick<ClaimedExecution, 'id' | 'event_id' | 'lease_token'>[],
  { tenantId, target, now }: { tenantId: string; target: string; now: Date | null },
): Promise<boolean> {
  const ids = claims.map(({ id }) => id)
  await pool.query({
    name: 'leave_held',
    text: `with leaving as materialized (
             select e.id from unnest($3::uuid[], $4::bigint[]) as l (id, lease_token)
             join automation_executions e on e.tenant_id = $1 and e.id = l.id and e.lease_token = l.lease_token
             where e.held_by = $2 and e.status = 'running' for update of e skip locked
           )
           update automation_executions e set held_by = null from leaving where e.tenant_id = $1 and e.id = leaving.id`,
    values: [tenantId, target, ids, claims.map(({ lease_token }) => lease_token)],
  })
  // A statement of its own: it waits for whoever writes the row just now, and holds no other meanwhile.
  const { rowCount } = await pool.query({
    name: 'wake_held',
    text: `with first as materialized (
             select id, coalesce(event_id, id) as place from automation_executions
             where tenant_id = $1 and held_by = $2 and status in ('waiting', 'running') and id <> all ($3::uuid[])
             order by coalesce(event_id, id) limit 1 for update
           )
           update automation_executions e
           set held_by = case when e.status = 'waiting' then e.held_by end,
               due_at = case when e.status = 'running' then e.due_at
                 else least(e.due_at, coalesce($5::timestamptz, clock_timestamp())) end
           from first where first.place >= any ($4::uuid[]) and e.tenant_id = $1 and e.id = first.id`,
    values: [tenantId, target, ids, claims.map(({ id, event_id }) => event_id ?? id), now],
  })
  return (rowCount ?? 0) > 0
}
