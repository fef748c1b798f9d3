/**
 * Jobs that go on after any crash: a row with a lease, and a token that is higher for every holder and stands in every
 * write, so that a worker that was frozen writes nothing when it wakes up.
 */

import { nextToken } from '#db/fence.ts'
import type { DB } from '#db/schema.ts'
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type pg from 'pg'
import { JOB_LISTS } from '#lib/change-topics.ts'

export const JOB_TABLES = JOB_LISTS
export type JobTable = (typeof JOB_TABLES)[number]

/** A job that a worker holds. */
export interface HeldJob {
  id: string
  /** Null: above all tenants. */
  tenantId: string | null
  leaseToken: number
}

/**
 * Takes the open job that has waited longest for a worker, so that a long one does not keep the others waiting. One whose
 * lease has passed is free: its worker is gone or has given it back.
 *
 * @param options.columns what else of the row `j` the job consists of
 * @param options.ready what has to hold beside being free
 * @param options.first orders before how long they have waited
 */
export async function claimJob<Job extends HeldJob>(
  db: Kysely<DB>,
  table: JobTable,
  options: {
    leaseMs: number
    columns: RawBuilder<unknown>
    ready?: RawBuilder<unknown>
    first?: RawBuilder<unknown>
  },
): Promise<Job | null> {
  const { leaseMs, columns, ready = sql`true` } = options
  const first = options.first === undefined ? sql`` : sql`${options.first},`
  const { rows } = await sql<Job>`
    update ${sql.table(table)} j
    set status = 'running', lease_token = ${sql.raw(nextToken('j.lease_token'))}, lease_until = ${leaseEnd(leaseMs)}
    from (
      select id from ${sql.table(table)}
      where status in ('queued', 'running') and (lease_until is null or lease_until <= clock_timestamp())
        and ${ready}
      order by ${first} lease_token, id for update skip locked limit 1
    ) free
    where j.id = free.id
    returning j.id, j.tenant_id as "tenantId", j.lease_token as "leaseToken", ${columns}
  `.execute(db)
  return rows[0] ?? null
}

/**
 * Returns for how many seconds the oldest open job that no worker holds has been waiting for one; 0: there is none. A pause
 * that a worker gave it has passed.
 */
export async function oldestFreeJobSeconds(pool: pg.Pool, table: JobTable): Promise<number> {
  const { rows } = await pool.query<{ seconds: number }>(
    `select coalesce(max(extract(epoch from now() - greatest(created_at, lease_until))), 0)::float8 as seconds
     from ${table} where status in ('queued', 'running') and (lease_until is null or lease_until <= now())`,
  )
  return rows[0]?.seconds ?? 0
}

/** Locks the job for the transaction. @returns false if it is no longer this worker's, or has ended */
export async function holdJob(trx: Transaction<DB>, table: JobTable, job: HeldJob): Promise<boolean> {
  const { rows } = await sql`
    select from ${sql.table(table)} where ${isHeld(job)} for update
  `.execute(trx)
  return rows.length > 0
}

/** Only inside the transaction that `holdJob` began: writes how far it is, and prolongs the lease. */
export async function advanceJob(
  trx: Transaction<DB>,
  table: JobTable,
  job: HeldJob,
  progress: { changes: RawBuilder<unknown>; leaseMs: number },
): Promise<void> {
  await sql`
    update ${sql.table(table)} set ${progress.changes}, lease_until = ${leaseEnd(progress.leaseMs)}
    where ${isHeld(job)}
  `.execute(trx)
}

/** @returns false if it is no longer this worker's */
export async function finishJob(
  db: Kysely<DB>,
  table: JobTable,
  job: HeldJob,
  end: { status: 'completed' | 'cancelled' | 'failed'; error: string | null; changes?: RawBuilder<unknown> },
): Promise<boolean> {
  const changes = end.changes === undefined ? sql`` : sql`, ${end.changes}`
  const { numAffectedRows } = await sql`
    update ${sql.table(table)}
    set status = ${end.status}, error = ${end.error}, finished_at = now(), lease_until = null ${changes}
    where ${isHeld(job)}
  `.execute(db)
  return numAffectedRows === 1n
}

/** Cancels an open job; its work so far stays done. @returns false if it is not open (any more) */
export async function cancelJob(
  trx: Transaction<DB>,
  table: JobTable,
  { tenantId, id }: Pick<HeldJob, 'tenantId' | 'id'>,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update ${sql.table(table)} set status = 'cancelled', finished_at = now(), lease_until = null
    where tenant_id is not distinct from ${tenantId}::uuid and id = ${id} and status in ('queued', 'running')
  `.execute(trx)
  return numAffectedRows === 1n
}

/** Gives it back before it is finished: free at once, or after a pause. */
export async function releaseJob(db: Kysely<DB>, table: JobTable, job: HeldJob, pauseMs = 0): Promise<void> {
  await sql`
    update ${sql.table(table)} set lease_until = ${pauseMs === 0 ? null : leaseEnd(pauseMs)}
    where ${isHeld(job)}
  `.execute(db)
}

function isHeld({ tenantId, id, leaseToken }: HeldJob) {
  return sql`tenant_id is not distinct from ${tenantId}::uuid and id = ${id} and lease_token = ${leaseToken} and status = 'running'`
}

function leaseEnd(ms: number) {
  return sql<Date>`clock_timestamp() + ${ms} * interval '1 millisecond'`
}
