import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, ErasurePhase } from '#db/schema.ts'
import { advanceJob, claimJob, finishJob, type HeldJob } from '#infra/job-repository.ts'

/** An erasure that a worker holds. */
export interface ErasureJob extends HeldJob {
  tenantId: string
  path: string
  valueSealed: Buffer
  position: number
  phase: ErasurePhase
  phaseStartedAt: Date
  /** The last record of the phase that was looked at. */
  cursor: string | null
}

/** In this order: executions are made of events, and their other records are found by them. */
export const ERASURE_PHASES: readonly ErasurePhase[] = [
  'events',
  'executions',
  'log',
  'invocations',
  'messages',
]

/**
 * Not before every transaction that stands before its phase has ended: an event or execution that is still being
 * committed then would be behind the cursor later.
 */
export async function claimErasure(db: Kysely<DB>, leaseMs: number): Promise<ErasureJob | null> {
  const columns = sql`j.path, j.value_sealed as "valueSealed", j.position, j.phase,
    j.phase_started_at as "phaseStartedAt", j.cursor_id as cursor`
  return claimJob<ErasureJob>(db, 'erasures', { leaseMs, columns, ready: sql`position < feed_horizon()` })
}

export interface ScannedEvent {
  id: string
  /** Null: it is gone, or the event came after the erasure was asked for. */
  body: string | null
}

/** Bodies of one batch together, unless the first alone is larger: a worker has them in memory. */
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

export interface Progress {
  cursor: string
  scanned: number
  erased: number
}

/** Only inside the transaction that holds the job. */
export async function advanceErasure(
  trx: Transaction<DB>,
  job: ErasureJob,
  progress: Progress,
  leaseMs: number,
): Promise<void> {
  const { cursor, scanned, erased } = progress
  const changes = sql`cursor_id = ${cursor}, scanned = scanned + ${scanned}, erased = erased + ${erased}`
  await advanceJob(trx, 'erasures', job, { changes, leaseMs })
}

/** Gives the job back for its next phase, which begins when all transactions of now have ended. */
export async function enterPhase(db: Kysely<DB>, job: ErasureJob, phase: ErasurePhase): Promise<void> {
  await db
    .updateTable('erasures')
    .set({
      phase,
      phase_started_at: sql<Date>`clock_timestamp()`,
      position: sql<number>`feed_position()`,
      cursor_id: null,
      lease_until: null,
    })
    .where('tenant_id', '=', job.tenantId)
    .where('id', '=', job.id)
    .where('lease_token', '=', job.leaseToken)
    .where('status', '=', 'running')
    .execute()
}

/** The value that was looked for goes with the end of the job, however it ended. */
export async function finishErasure(
  db: Kysely<DB>,
  job: ErasureJob,
  status: 'completed' | 'failed',
  error: string | null,
): Promise<void> {
  await finishJob(db, 'erasures', job, { status, error, changes: sql`value_sealed = null` })
}
