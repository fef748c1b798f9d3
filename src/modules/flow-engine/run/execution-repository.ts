import type { Kysely } from 'kysely'
import type pg from 'pg'
import { FLUSHED, nextToken } from '#db/fence.ts'
import { bytesOf } from '#db/json.ts'
import type { DB, TriggerKind } from '#db/schema.ts'
import { FLOW_SCHEMA_VERSION, STATE_SCHEMA_VERSION } from '#lib/flow/types.ts'
import type { Calendar } from '#lib/calendar.ts'
import { hasShareSql, shareOfLeftSql } from './share-sql.ts'
import type { ExecutionState } from './state.ts'

/**
 * Taking and keeping executions. Times in the state are epoch milliseconds of the database's clock, which every
 * claim brings along; `now` replaces that clock in tests.
 */
export interface ClaimedExecution {
  tenant_id: string
  id: string
  flow_id: string
  version: number
  trigger_kind: TriggerKind
  trigger: Record<string, unknown>
  event_id: string | null
  state: ExecutionState
  lease_token: number
  /** The target of the call that it waited for; null: it did not wait, or its turn has come. */
  held_by: string | null
  causation_depth: number
  step_count: number
  /** Whoever had it last did not give it back. */
  was_running: boolean
  received: number
  expires_at_ms: number
  created_at_ms: number
  /** The time at which it was first taken up: the same for whoever takes it up again. */
  started_at_ms: number
  now_ms: number
  /** Of the tenant, as it was when the execution was taken up; null: nothing was set. */
  calendar: Partial<Calendar> | null
  /** Seconds from when it was due. */
  lag_s: number
  /** Of JSON: what started it and where it stands. */
  bytes: number
}

/**
 * Executions of one tenant in one process's hands at most: its slow endpoints keep nobody else waiting. As many as there
 * may be connections to one origin, so that none of them waits for one. With 256 instead of 128 boundaries travel in
 * larger batches: 2,070 to 2,520 executions/s of `npm run bench -- --only flow-throughput` instead of 1,620 to 2,130.
 */
export const TENANT_MAX_RUNNING = 256

/** Due executions by which tenants are found, before it is gone from tenant to tenant. */
const LOOK_ROWS = 2_000
/** Due executions that are gone through for them: what nobody may take now, of halted tenants, is among these. */
const LOOK_SCANNED = 20_000

/** The executions of a tenant that a process has in hand. */
export interface InHand {
  count: number
  /** Of JSON. */
  bytes: number
}

/** Measures JSON as it is stored, compressed or not: no byte of it is read, and in memory it has no less. */
const storedBytesOf = (column: string): string => `pg_column_size(${column})`

/**
 * Those that have been due longest first, an equal share to each tenant. What a small backlog leaves over is the next
 * claim's. Tenants are found by what is due and may be taken, at most `LOOK_ROWS` of it, so that those of whom
 * everything waits cost nothing; behind a longer backlog, from tenant to tenant through the index, which takes 0.2 s with
 * 20,000 of them.
 *
 * A wait does not end because of the time while an event that came before then has not been matched: it may be
 * the one that was waited for, or that cancels. After a downtime the backlog of events comes before that of waits.
 *
 * Executions that a newer release has written are left to it, and whoever has nothing else takes up no place among the tenants.
 */
const CLAIM = `
with recursive clock as (
  select coalesce($4::timestamptz, clock_timestamp()) as now
), first_due as materialized (
  select tenant_id, due_at from (
    select tenant_id, due_at, schema_version from automation_executions
    where $7::uuid[] is null and due_at <= (select now from clock) order by due_at limit ${LOOK_SCANNED}
  ) scanned
  -- Scalars here and below, as an exists may be answered by reading everybody's rows.
  where schema_version <= ${FLOW_SCHEMA_VERSION}
    and (select halted_at from flow_cursors c where c.tenant_id = scanned.tenant_id) is null
  limit ${LOOK_ROWS + 1}
), backlog as materialized (
  select count(*) > ${LOOK_ROWS} or (
    select true from automation_executions where $7::uuid[] is null and due_at <= (select now from clock)
    order by due_at offset ${LOOK_SCANNED} limit 1
  ) is true as is_long from first_due
), everybody as (
  (select tenant_id, due_at from automation_executions where (select is_long from backlog) and due_at is not null
   order by tenant_id, due_at limit 1)
  union all
  select next.tenant_id, next.due_at from everybody cross join lateral (
    select tenant_id, due_at from automation_executions
    where due_at is not null and tenant_id > everybody.tenant_id order by tenant_id, due_at limit 1
  ) next
), owners as (
  select tenant_id, min(due_at) as due_at from first_due, backlog where not backlog.is_long group by tenant_id
  union all
  select tenant_id, due_at from everybody
  union all
  select named.id, first.due_at from unnest($7::uuid[]) as named (id) cross join lateral (
    select due_at from automation_executions where tenant_id = named.id and due_at is not null order by due_at limit 1
  ) first
), ready as (
  select owners.tenant_id, coalesce(busy.bytes, 0) as held_bytes,
    least(${TENANT_MAX_RUNNING} - coalesce(busy.count, 0), greatest(1, $1::bigint / count(*) over ()),
      ${shareOfLeftSql('coalesce(busy.count, 0)', '$1::bigint')}) as capacity,
    (select next.received_at from flow_cursors c cross join lateral (
       select received_at from events where tenant_id = c.tenant_id and (position, id) > (c.position, c.event_id)
       order by position, id limit 1
     ) next where c.tenant_id = owners.tenant_id) as unmatched_since
  from clock, owners left join unnest($5::uuid[], $6::int[], $9::bigint[]) as busy (tenant_id, count, bytes)
    using (tenant_id)
  where owners.due_at <= clock.now and coalesce(busy.count, 0) < ${TENANT_MAX_RUNNING}
    and ${hasShareSql('coalesce(busy.count, 0)', '$1::bigint')} and ${hasShareSql('coalesce(busy.bytes, 0)', '$8::bigint')}
    and not exists (
      select from flow_cursors c where c.tenant_id = owners.tenant_id and c.halted_at is not null)
    -- In the order of its index: else the planner may read the table from its start, where what has ended stands.
    and (select true from automation_executions e where e.tenant_id = owners.tenant_id and e.due_at <= clock.now
      and e.schema_version <= ${FLOW_SCHEMA_VERSION} order by e.due_at limit 1)
  order by owners.due_at limit $1::bigint
), due as (
  select chosen.*, extract(epoch from clock.now - chosen.due_at)::float8 as lag_s
  from ready, clock, lateral (
    select e.tenant_id, e.id, e.status, e.due_at, e.trigger, e.state, ready.held_bytes,
      ${storedBytesOf('e.trigger')} + ${storedBytesOf('e.state')} as stored_bytes
    from automation_executions e
    where e.tenant_id = ready.tenant_id and e.due_at <= clock.now and e.schema_version <= ${FLOW_SCHEMA_VERSION}
      and (e.status <> 'waiting' or ready.unmatched_since is null or e.due_at < ready.unmatched_since
        or (select true from automation_waits w
            where w.execution_id = e.id and w.received_event_id is not null limit 1))
    order by e.due_at limit ready.capacity for update of e skip locked
  ) chosen
  limit $1::bigint
), placed as (
  select *, row_number() over (partition by tenant_id order by due_at, id) as place,
    sum(stored_bytes) over (partition by tenant_id order by due_at, id) - stored_bytes as own_before
  from due
), shared as (
  select * from placed where own_before < ${shareOfLeftSql('held_bytes', '$8::bigint')}
), fitting as materialized (
  -- Only what may fit is decompressed for its size.
  select *, ${bytesOf('trigger')} + ${bytesOf('state')} as bytes from (
    select *, sum(stored_bytes) over (order by place, due_at, id) - stored_bytes as stored_before from shared
  ) stored where stored_before < $8::bigint
), taken as (
  select tenant_id, id, status, lag_s, bytes from (
    select *, sum(bytes) over (order by place, due_at, id) - bytes as bytes_before,
      held_bytes + sum(bytes) over (partition by tenant_id order by place) - bytes as own_bytes
    from fitting
  ) sized where ${hasShareSql('own_bytes', '($8::bigint - bytes_before)')}
)
update automation_executions e
set status = 'running', reason = null, lease_token = ${nextToken('e.lease_token')},
    schema_version = greatest(e.schema_version, ${STATE_SCHEMA_VERSION}),
    started_at = coalesce(e.started_at, $4::timestamptz, clock_timestamp()),
    lease_until = clock_timestamp() + $2::float8 * interval '1 millisecond',
    due_at = coalesce($4::timestamptz, clock_timestamp()) + $3::float8 * interval '1 millisecond'
from taken where e.tenant_id = taken.tenant_id and e.id = taken.id
returning e.tenant_id, e.id, e.flow_id, e.version, e.trigger_kind, e.trigger, e.event_id, e.state, e.lease_token,
  e.causation_depth, e.step_count, e.received, e.held_by, taken.status = 'running' as was_running, taken.lag_s, taken.bytes,
  (select calendar from tenants where tenants.id = e.tenant_id) as calendar,
  (extract(epoch from e.expires_at) * 1000)::float8 as expires_at_ms,
  (extract(epoch from e.created_at) * 1000)::float8 as created_at_ms,
  floor(extract(epoch from e.started_at) * 1000)::float8 as started_at_ms,
  (extract(epoch from coalesce($4::timestamptz, clock_timestamp())) * 1000)::float8 as now_ms,
  ${FLUSHED}`

/**
 * Takes due executions, tenant by tenant; one that is not given back becomes due again when its lease ends. With the
 * claim everything that was written before it is on the disk, the executions themselves among it.
 * @param options `busy`: what the process has in hand, by tenant; `limit` and `maxBytes`: what is left of what it may have,
 *   of JSON but for the last one that is taken; `tenantIds`: only theirs
 */
export async function claimExecutions(
  pool: pg.Pool,
  options: {
    limit: number
    leaseMs: number
    busy: ReadonlyMap<string, InHand>
    now: Date | null
    tenantIds?: readonly string[] | null
    maxBytes: number
  },
): Promise<ClaimedExecution[]> {
  const { limit, leaseMs, busy, now, tenantIds = null, maxBytes } = options
  const { rows } = await pool.query<ClaimedExecution>({
    name: 'claim_executions',
    text: CLAIM,
    values: [
      ...[limit, leaseMs, leaseMs, now, [...busy.keys()], [...busy.values()].map(({ count }) => count)],
      ...[tenantIds, maxBytes, [...busy.values()].map(({ bytes }) => bytes)],
    ],
  })
  // The order in which an update returns them is anybody's; events' ids are in the order in which they came.
  return rows.sort((a, b) => ((a.event_id ?? a.id) < (b.event_id ?? b.id) ? -1 : 1))
}

/** Keeps executions whose step takes long. One whose row is locked is being written, which keeps it as well. */
export async function renewExecutions(
  pool: pg.Pool,
  held: readonly { tenant_id: string; id: string; lease_token: number }[],
  leaseMs: number,
  now: Date | null,
): Promise<void> {
  await pool.query({
    name: 'renew_executions',
    text: `with free as (
             select e.tenant_id, e.id
             from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as h (tenant_id, id, lease_token)
             join automation_executions e on e.tenant_id = h.tenant_id and e.id = h.id
             where e.lease_token = h.lease_token and e.status = 'running'
             for update of e skip locked
           )
           update automation_executions e
           set lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
               due_at = coalesce($5::timestamptz, clock_timestamp()) + $4::float8 * interval '1 millisecond'
           from free where e.tenant_id = free.tenant_id and e.id = free.id`,
    values: [
      held.map((claim) => claim.tenant_id),
      held.map((claim) => claim.id),
      held.map((claim) => claim.lease_token),
      leaseMs,
      now,
    ],
  })
}

/** Finds the tenant's hours; null: nothing was set. */
export async function findCalendar(db: Kysely<DB>, tenantId: string): Promise<ClaimedExecution['calendar']> {
  const row = await db.selectFrom('tenants').select('calendar').where('id', '=', tenantId).executeTakeFirst()
  return row?.calendar ?? null
}
