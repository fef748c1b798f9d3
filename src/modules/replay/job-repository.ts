import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { advanceJob, claimJob, type HeldJob } from '#infra/job-repository.ts'
import { queueAgain, selectOverallStatus } from '#modules/event/index.ts'
import type { Candidate, Criteria, Subscriber } from './selection.ts'

/** A replay that a worker holds. */
export interface ReplayJob extends Criteria, HeldJob {
  tenantId: string
  pluginId: string
  cursor: string | null
  /** Counts and queues nothing. */
  dryRun: boolean
}

/** The replays that come first: those that plugins and shops asked for, or those of recoveries. */
export type Preference = 'own' | 'recovery'

export async function claimReplay(
  db: Kysely<DB>,
  leaseMs: number,
  preference: Preference = 'own',
): Promise<ReplayJob | null> {
  const columns = sql`j.plugin_id as "pluginId", j.cursor_event_id as cursor, j.since, j.until, j.event,
    j.delivery_status as "deliveryStatus", j.dry_run as "dryRun"`
  const first = preference === 'own' ? sql`recovery_id is not null` : sql`recovery_id is null`
  return claimJob<ReplayJob>(db, 'replays', { leaseMs, columns, first })
}

/** Null: the plugin was deleted. */
export async function findSubscriber(db: Kysely<DB>, job: ReplayJob): Promise<Subscriber | null> {
  const plugin = await db
    .selectFrom('plugins')
    .select(['subscriptions', 'include_own as includeOwn'])
    .where('tenant_id', '=', job.tenantId)
    .where('id', '=', job.pluginId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return plugin ?? null
}

/** The plugin's deliveries that are still to be sent, counted up to `limit`. */
export async function countWaiting(db: Kysely<DB>, job: ReplayJob, limit: number): Promise<number> {
  const { rows } = await sql<{ waiting: number }>`
    select count(*)::int as waiting from (
      select from deliveries
      where plugin_id = ${job.pluginId} and tenant_id = ${job.tenantId} and status in ('pending', 'retry')
      limit ${limit}
    ) counted
  `.execute(db)
  return rows[0]?.waiting ?? 0
}

export interface ScannedEvent extends Candidate {
  id: string
}

export interface BatchQuery extends Pick<Criteria, 'since' | 'until'> {
  tenantId: string
  pluginId: string
  after: string
  /** No event of the range has a higher id. */
  before: string
  limit: number
  withBodies: boolean
}

/** Bodies of one batch together, unless the first alone is larger: a worker has them in memory. */
const BATCH_BODY_BYTES = 16 * 1024 * 1024

/**
 * The tenant's next events by id, each with the plugin's delivery of it. Fewer than `limit` does not mean that
 * these were the last: none does.
 */
export async function readBatch(db: Kysely<DB>, query: BatchQuery): Promise<ScannedEvent[]> {
  // octet_length reads the size of a stored body without unpacking it.
  const { rows } = await sql<ScannedEvent>`
    select e.id, e.event, e.received_at, e.body, e.has_body, e.is_own, ${selectOverallStatus('e.id', query.pluginId, query.tenantId)} as delivery_status,
      e.received_at < ${query.until} and coalesce(e.received_at >= ${query.since}::timestamptz, true) as in_range
    from (
      select found.*, sum(octet_length(body)) over (order by id) - octet_length(body) as bytes_before from (
        select id, event, received_at, body is not null as has_body,
          publisher_plugin_id is not distinct from ${query.pluginId}::uuid as is_own,
          case when ${query.withBodies}::boolean then body end as body
        from events
        where tenant_id = ${query.tenantId} and id > ${query.after} and id < ${query.before}
        order by id limit ${query.limit}
      ) found
    ) e
    where coalesce(e.bytes_before < ${BATCH_BODY_BYTES}, true)
    order by e.id
  `.execute(db)
  return rows
}

/**
 * Queues the deliveries of these events, by the rules of `queueAgain`; a missing delivery is made, unless only
 * deliveries that have a status are asked for (`undelivered` is none). Rejects with SQLSTATE 55P03 when a delivery is
 * being written just now: waiting for the lock while holding others could deadlock with the delivery worker's batch.
 * @returns how many deliveries were queued
 */
export async function queueDeliveries(
  trx: Transaction<DB>,
  job: ReplayJob,
  events: readonly { id: string; event: string }[],
): Promise<number> {
  const wanted = events.map(({ id, event }) => ({ eventId: id, event, pluginId: job.pluginId }))
  // The status may have changed since the batch was read.
  return queueAgain(trx, job.tenantId, wanted, { reason: 'replay', status: job.deliveryStatus, noWait: true })
}

export interface Progress {
  cursor: string
  scanned: number
  queued: number
  skipped: number
}

/** Only inside the transaction that holds the job. */
export async function advanceReplay(
  trx: Transaction<DB>,
  job: ReplayJob,
  { cursor, scanned, queued, skipped }: Progress,
  leaseMs: number,
): Promise<void> {
  const changes = sql`cursor_event_id = ${cursor}, scanned = scanned + ${scanned}, queued = queued + ${queued},
    skipped = skipped + ${skipped}`
  await advanceJob(trx, 'replays', job, { changes, leaseMs })
}
