import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '../../../db/schema.ts'

/** An erasure that a worker holds; `leaseToken` stands in every write. */
export interface ErasureJob {
  id: string
  tenantId: string
  path: string
  valueSealed: Buffer
  position: number
  createdAt: Date
  leaseToken: number
  cursor: string | null
}

/**
 * Takes the open erasure that was worked on least often, once every transaction that stands before it in the feed
 * has ended: an event that is still being committed then would be behind the cursor later.
 */
export async function claimErasure(db: Kysely<DB>, leaseMs: number): Promise<ErasureJob | null> {
  const { rows } = await sql<ErasureJob>`
    update erasures e
    set status = 'running', lease_token = e.lease_token + 1, lease_until = ${leaseEnd(leaseMs)}
    from (
      select id from erasures
      where status in ('queued', 'running') and (lease_until is null or lease_until <= clock_timestamp())
        and position < feed_horizon()
      order by lease_token, id for update skip locked limit 1
    ) free
    where e.id = free.id
    returning e.id, e.tenant_id as "tenantId", e.path, e.value_sealed as "valueSealed", e.position,
      e.created_at as "createdAt", e.lease_token as "leaseToken", e.cursor_event_id as cursor
  `.execute(db)
  return rows[0] ?? null
}

export interface ScannedEvent {
  id: string
  /** Null: it is gone, or the event came after the erasure was asked for. */
  body: string | null
}

/** Bodies of one batch together, unless the first alone is larger: what a worker has in memory. */
const BATCH_BODY_BYTES = 16 * 1024 * 1024

/** The tenant's next events by id. Fewer than `limit` does not mean that these were the last: none does. */
export async function readBatch(
  db: Kysely<DB>,
  job: ErasureJob,
  range: { after: string; before: string; limit: number },
): Promise<ScannedEvent[]> {
  // octet_length reads the size of a stored body without unpacking it.
  const { rows } = await sql<ScannedEvent>`
    select id, body from (
      select id, body, sum(octet_length(body)) over (order by id) - octet_length(body) as bytes_before from (
        select id, case when position < ${job.position} then body end as body from events
        where tenant_id = ${job.tenantId} and id > ${range.after} and id < ${range.before}
        order by id limit ${range.limit}
      ) found
    ) measured
    where coalesce(bytes_before < ${BATCH_BODY_BYTES}, true)
    order by id
  `.execute(db)
  return rows
}

/** Locks the job for the transaction. @returns false if it is no longer this worker's */
export async function holdErasure(trx: Transaction<DB>, job: ErasureJob): Promise<boolean> {
  const held = await trx
    .selectFrom('erasures')
    .select('id')
    .where('tenant_id', '=', job.tenantId)
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .where('status', '=', 'running')
    .forUpdate()
    .executeTakeFirst()
  return held !== undefined
}

/**
 * Erases the bodies of these events and the answers to their deliveries, and gives up what is still waiting. An
 * attempt that is under way finds its delivery failed and writes nothing. Rejects with SQLSTATE 55P03 when a
 * delivery is being written just now: waiting for the lock while holding others could deadlock with the delivery
 * worker's batch.
 */
export async function eraseEvents(
  trx: Transaction<DB>,
  tenantId: string,
  eventIds: readonly string[],
): Promise<void> {
  await sql`
    select id from deliveries where tenant_id = ${tenantId} and event_id = any(${eventIds}::uuid[])
    order by id for no key update nowait
  `.execute(trx)
  await sql`
    update events set body = null, body_gone = 'erased', schema_problems = null
    where tenant_id = ${tenantId} and id = any(${eventIds}::uuid[])
  `.execute(trx)
  // Said so that the planner finds them by event: by the queue's partial index it would read the whole queue.
  await sql`
    update deliveries set status = 'failed', reason = 'erased', due_at = null
    where tenant_id = ${tenantId} and event_id = any(${eventIds}::uuid[]) and status not in ('sent', 'failed')
  `.execute(trx)
  await sql`
    update delivery_attempts a set response_body = null, response_headers = null
    from deliveries d
    where d.tenant_id = ${tenantId} and d.event_id = any(${eventIds}::uuid[])
      and a.tenant_id = d.tenant_id and a.delivery_id = d.id
  `.execute(trx)
}

/** Only inside the transaction that `holdErasure` began: prolongs the lease too. */
export async function advanceErasure(
  trx: Transaction<DB>,
  job: ErasureJob,
  progress: { cursor: string; scanned: number; erased: number },
  leaseMs: number,
): Promise<void> {
  await trx
    .updateTable('erasures')
    .set((eb) => ({
      cursor_event_id: progress.cursor,
      scanned: eb('scanned', '+', progress.scanned),
      erased: eb('erased', '+', progress.erased),
      lease_until: leaseEnd(leaseMs),
    }))
    .where('tenant_id', '=', job.tenantId)
    .where('id', '=', job.id)
    .execute()
}

/** The value that was looked for goes with the end of the job, however it ended. */
export async function finishErasure(
  db: Kysely<DB>,
  job: ErasureJob,
  status: 'completed' | 'failed',
  error: string | null,
): Promise<void> {
  await ofHolder(db, job)
    .set({ status, error, value_sealed: null, finished_at: sql<Date>`now()`, lease_until: null })
    .execute()
}

/** Gives it back before it is finished. */
export async function releaseErasure(db: Kysely<DB>, job: ErasureJob): Promise<void> {
  await ofHolder(db, job).set({ lease_until: null }).execute()
}

function ofHolder(db: Kysely<DB>, job: ErasureJob) {
  return db
    .updateTable('erasures')
    .where('tenant_id', '=', job.tenantId)
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .where('status', '=', 'running')
}

function leaseEnd(ms: number) {
  return sql<Date>`clock_timestamp() + ${ms} * interval '1 millisecond'`
}
