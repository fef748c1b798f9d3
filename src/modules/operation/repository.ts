import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Operation, TenantSummary } from './schemas.ts'

const WORKERS_SHOWN = 100
const DUE_COUNTED = 10_000
const WAITING_COUNTED = 1_000

export async function selectWorkers(db: Kysely<DB>): Promise<Operation['workers']> {
  const { rows } = await sql<Operation['workers'][number]>`
    select w.owner as id, w.seen_at, coalesce(held.lanes, 0) as lanes
    from delivery_workers w left join (
      select lease_owner, count(*)::int as lanes from delivery_lanes where lease_until > now() group by lease_owner
    ) held on held.lease_owner = w.owner
    where w.seen_at > now() - interval '5 minutes'
    order by w.owner limit ${WORKERS_SHOWN}`.execute(db)
  return rows
}

export async function countLanes(db: Kysely<DB>): Promise<Operation['lanes']> {
  const { rows } = await sql<Operation['lanes']>`
    select count(*) filter (where lease_until > now())::int as held,
      count(*) filter (where lease_until > now() is not true)::int as free
    from delivery_lanes`.execute(db)
  return rows[0] ?? { held: 0, free: 0 }
}

export async function readFlowQueue(db: Kysely<DB>): Promise<Operation['flows']> {
  const { rows } = await sql<Operation['flows']>`
    select count(*)::int as due, coalesce(extract(epoch from now() - min(due_at)), 0)::float8 as oldest_due_seconds
    from (
      select due_at from automation_executions where due_at <= now() order by due_at limit ${DUE_COUNTED}
    ) due`.execute(db)
  return rows[0] ?? { due: 0, oldest_due_seconds: 0 }
}

/** By id. */
export async function selectTenants(
  db: Kysely<DB>,
  range: { from: string; to: string } | null,
  page: { after: string | null; limit: number },
): Promise<TenantSummary[]> {
  const inRange = range === null ? sql`` : sql`and id between ${range.from} and ${range.to}`
  const behind = page.after === null ? sql`` : sql`and id > ${page.after}`
  const { rows } = await sql<TenantSummary>`
    select t.id, t.created_at,
      (select received_at from events e where e.tenant_id = t.id order by e.position desc, e.id desc limit 1) as last_event_at,
      (select count(*)::int from plugins p where p.tenant_id = t.id and p.deleted_at is null) as plugins,
      (select count(*)::int from automation_flows f where f.tenant_id = t.id and f.deleted_at is null) as flows,
      (select count(*)::int from (
        select from deliveries d where d.tenant_id = t.id and d.status in ('retry', 'failed') limit ${WAITING_COUNTED}
      ) waiting) as waiting
    from (select id, created_at from tenants where true ${inRange} ${behind} order by id limit ${page.limit}) t
    order by t.id`.execute(db)
  return rows
}
