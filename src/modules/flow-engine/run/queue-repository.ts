import type pg from 'pg'
import { FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'

/** One index probe or two for each tenant: 20,000 take some 0.2 s. */
const TENANT_LIMIT = 20_000

/**
 * Returns for how many seconds the oldest event that the matcher has not gone through has been there; 0: there is
 * none. Of all tenants with flows, up to 20,000; an event behind an open transaction counts.
 */
export async function oldestUnmatchedSeconds(pool: pg.Pool): Promise<number> {
  return secondsOf(
    pool,
    `select coalesce(max(extract(epoch from now() - first.received_at)), 0)::float8 as seconds
     from (select tenant_id, position, event_id from flow_cursors limit ${TENANT_LIMIT}) c
     cross join lateral (
       select received_at from events e
       where e.tenant_id = c.tenant_id and (e.position, e.id) > (c.position, c.event_id)
       order by e.position, e.id limit 1
     ) first`,
  )
}

/**
 * Returns for how many seconds the oldest due execution has been waiting for a worker; 0: nothing is due. One that is held
 * is due at the end of its lease. Left out is what waits on purpose: tenants that are halted, and what a newer release
 * has written.
 */
export async function oldestDueSeconds(pool: pg.Pool): Promise<number> {
  return secondsOf(
    pool,
    `with recursive tenants as (
       (select tenant_id, 1 as n from automation_executions where due_at is not null order by tenant_id limit 1)
       union all
       select next.tenant_id, tenants.n + 1 from tenants cross join lateral (
         select tenant_id from automation_executions
         where due_at is not null and tenant_id > tenants.tenant_id order by tenant_id limit 1
       ) next
       where tenants.n < ${TENANT_LIMIT}
     )
     select coalesce(max(extract(epoch from now() - first.due_at)), 0)::float8 as seconds
     from tenants cross join lateral (
       select due_at from automation_executions e
       where e.tenant_id = tenants.tenant_id and e.due_at <= now() and e.schema_version <= ${FLOW_SCHEMA_VERSION}
       order by due_at limit 1
     ) first
     where not exists (
       select from flow_cursors c where c.tenant_id = tenants.tenant_id and c.halted_at is not null)`,
  )
}

async function secondsOf(pool: pg.Pool, query: string): Promise<number> {
  const { rows } = await pool.query<{ seconds: number }>(query)
  return rows[0]?.seconds ?? 0
}
