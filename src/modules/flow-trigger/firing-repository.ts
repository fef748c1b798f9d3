import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type pg from 'pg'
import type { DB } from '#db/schema.ts'
import { now } from '#lib/clock.ts'

export interface DueSchedule {
  tenant_id: string
  flow_id: string
  trigger_id: string
  cron: string
  time_zone: string
  catch_up: 'skip' | 'once'
  next_fire_at: Date
  due_at: Date
  /** Null: the flow is not active, nor keeps what it misses. */
  version: number | null
}

/** Schedules that come due within the time that is looked ahead, the earliest first; and the database's clock. */
export async function selectUpcoming(
  db: Kysely<DB>,
  aheadMs: number,
  limit: number,
  testNow: Date | null,
): Promise<{ now: Date; schedules: DueSchedule[] }> {
  const { rows } = await sql<Omit<DueSchedule, 'due_at'> & { due_at: Date | null; now: Date }>`
    with clock as materialized (select coalesce(${testNow}::timestamptz, clock_timestamp()) as now)
    select clock.now, s.tenant_id, s.flow_id, s.trigger_id, s.cron, s.time_zone, s.catch_up, s.next_fire_at, s.due_at,
      (select f.published_version from automation_flows f
       where f.tenant_id = s.tenant_id and f.id = s.flow_id and ${keepsFirings()} and f.deleted_at is null) as version
    from clock left join lateral (
      select * from automation_schedules where due_at <= clock.now + ${aheadMs} * interval '1 millisecond'
      order by due_at limit ${limit}
    ) s on true`.execute(db)
  const schedules = rows.filter((row): row is DueSchedule & { now: Date } => row.due_at !== null)
  return { now: rows[0]?.now ?? new Date(now()), schedules }
}

/** Returns for how many seconds the oldest due schedule has been waiting for a worker; 0: none is due. */
export async function oldestDueSeconds(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ seconds: number }>(
    `select coalesce(extract(epoch from now() - min(due_at)), 0)::float8 as seconds
     from automation_schedules where due_at <= now()`,
  )
  return rows[0]?.seconds ?? 0
}

/**
 * Takes those that nobody has dealt with since they were read, together with their flows. What another transaction
 * has is left out: this one never waits for it.
 */
export async function claimSchedules<Schedule extends DueSchedule>(
  trx: Transaction<DB>,
  schedules: readonly Schedule[],
): Promise<Schedule[]> {
  const { rows } = await sql<{ place: number }>`
    select w.place from ${asRead(schedules)}
    join automation_flows f on f.tenant_id = w.tenant_id and f.id = w.flow_id
    where ${keepsFirings()} and f.deleted_at is null and f.published_version = w.version
    for update of s skip locked
    for no key update of f skip locked`.execute(trx)
  return rows.flatMap(({ place }) => schedules[place] ?? [])
}

/** A paused flow keeps the firings of schedules that make up for what was missed. */
function keepsFirings(): RawBuilder<boolean> {
  return sql`(f.status = 'active' or (f.status = 'paused' and s.catch_up = 'once'))`
}

/** The same for schedules whose flows leave nothing behind. */
export async function claimIdleSchedules<Schedule extends DueSchedule>(
  trx: Transaction<DB>,
  schedules: readonly Schedule[],
): Promise<Schedule[]> {
  const { rows } = await sql<{ place: number }>`
    select w.place from ${asRead(schedules)} for update of s skip locked`.execute(trx)
  return rows.flatMap(({ place }) => schedules[place] ?? [])
}

function asRead(schedules: readonly DueSchedule[]) {
  return sql`unnest(
      ${schedules.map((s) => s.tenant_id)}::uuid[], ${schedules.map((s) => s.flow_id)}::uuid[],
      ${schedules.map((s) => s.trigger_id)}::text[], ${schedules.map((s) => s.next_fire_at)}::timestamptz[],
      ${schedules.map((s) => s.version)}::int[], ${schedules.map((_, place) => place)}::int[]
    ) as w (tenant_id, flow_id, trigger_id, next_fire_at, version, place)
    join automation_schedules s on s.tenant_id = w.tenant_id and s.flow_id = w.flow_id
      and s.trigger_id = w.trigger_id and s.next_fire_at = w.next_fire_at`
}

/** Sets claimed schedules to their next times; the rows of those without one go. */
export async function advanceSchedules(
  trx: Transaction<DB>,
  schedules: readonly (DueSchedule & { nextFireAt: Date | null; firedAt: Date | null })[],
): Promise<void> {
  if (schedules.length === 0) return
  await sql`
    with moved as materialized (
      select * from unnest(
        ${schedules.map((s) => s.tenant_id)}::uuid[], ${schedules.map((s) => s.flow_id)}::uuid[],
        ${schedules.map((s) => s.trigger_id)}::text[], ${schedules.map((s) => s.nextFireAt)}::timestamptz[],
        ${schedules.map((s) => s.firedAt)}::timestamptz[]
      ) as m (tenant_id, flow_id, trigger_id, next_fire_at, fired_at)
    ), ended as (
      delete from automation_schedules s using moved m
      where s.tenant_id = m.tenant_id and s.flow_id = m.flow_id and s.trigger_id = m.trigger_id
        and m.next_fire_at is null
    )
    update automation_schedules s
    set next_fire_at = m.next_fire_at, due_at = m.next_fire_at,
        last_fired_at = coalesce(m.fired_at, s.last_fired_at)
    from moved m
    where s.tenant_id = m.tenant_id and s.flow_id = m.flow_id and s.trigger_id = m.trigger_id
      and m.next_fire_at is not null`.execute(trx)
}

/** A firing that failed stays due, and is looked at again later. */
export async function postponeSchedule(db: Kysely<DB>, schedule: DueSchedule, until: Date): Promise<void> {
  await db
    .updateTable('automation_schedules')
    .set({ due_at: until })
    .where('tenant_id', '=', schedule.tenant_id)
    .where('flow_id', '=', schedule.flow_id)
    .where('trigger_id', '=', schedule.trigger_id)
    .where('next_fire_at', '=', schedule.next_fire_at)
    .execute()
}
