import { type Kysely, sql, type Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB } from '#db/schema.ts'
import { advanceJob, claimJob, type HeldJob } from '#infra/job-repository.ts'
import { newId } from '#lib/ids.ts'
import { placeAgain } from '#modules/event/index.ts'
import type { DeliveryRetry, DeliveryRetryEstimate, NewDeliveryRetry } from './schemas.ts'

export type BulkRetryRequest = Omit<NewDeliveryRetry, 'dry_run'>

export type BulkRetryJob = HeldJob & {
  tenantId: string
  pluginId: string | null
  request: BulkRetryRequest
  cursor: string | null
  createdAt: Date
}

/** A tenant's open ones at most. */
const MAX_OPEN = 10

/** @returns its id; null: the tenant has enough of them open */
export async function insertBulkRetry(
  trx: Transaction<DB>,
  { tenantId, pluginId, request }: { tenantId: string; pluginId: string | null; request: BulkRetryRequest },
): Promise<string | null> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`delivery_retries:${tenantId}`}, 0))`.execute(trx)
  const { open } = await trx
    .selectFrom('delivery_retries')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('tenant_id', '=', tenantId)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  if (open >= MAX_OPEN) return null
  const id = newId()
  await trx
    .insertInto('delivery_retries')
    .values({ id, tenant_id: tenantId, plugin_id: pluginId, request: writeJson(request) })
    .execute()
  return id
}

export async function claimBulkRetry(db: Kysely<DB>, leaseMs: number): Promise<BulkRetryJob | null> {
  const columns = sql`j.plugin_id as "pluginId", j.request, j.cursor_id as cursor, j.created_at as "createdAt"`
  return claimJob<BulkRetryJob>(db, 'delivery_retries', { leaseMs, columns })
}

/** The plugins that these deliveries go to and that get their events. */
export async function selectActivePlugins(
  db: Kysely<DB>,
  tenantId: string,
  deliveryIds: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select p.id from plugins p
    where p.tenant_id = ${tenantId} and p.deleted_at is null and p.status = 'active' and p.id in (
      select plugin_id from deliveries where tenant_id = ${tenantId} and id = any(${deliveryIds}::uuid[])
    )`.execute(db)
  return rows.map(({ id }) => id)
}

/** The plugin's deliveries that are due, counted up to `limit`: what waits for a later try is not in the way. */
export async function countWaiting(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  limit: number,
): Promise<number> {
  const { rows } = await sql<{ waiting: number }>`
    select count(*)::int as waiting from (
      select from deliveries
      where plugin_id = ${pluginId} and tenant_id = ${tenantId} and status in ('pending', 'retry') and due_at <= now()
      limit ${limit}
    ) counted`.execute(db)
  return rows[0]?.waiting ?? 0
}

/** A newer one took its place: nothing of it is missing, unless it is asked for by this reason. */
function isMissing({ reason }: Pick<BulkRetryRequest, 'reason'>) {
  return reason === 'superseded' ? sql`true` : sql`d.reason is distinct from 'superseded'`
}

/**
 * Makes deliveries that have not arrived due now, each with a fresh retry schedule, behind what happens now,
 * and whatever is newer of its key. Rejects with
 * SQLSTATE 55P03 when one of them is being written just now: waiting for it while holding others could deadlock with a
 * worker's batch.
 *
 * @returns the plugin of each
 */
export async function queueThese(
  trx: Transaction<DB>,
  { tenantId, request }: Pick<BulkRetryJob, 'tenantId' | 'request'>,
  ids: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ plugin_id: string }>`
    with ready as (
      select d.id from deliveries d
      join events e on e.tenant_id = d.tenant_id and e.id = d.event_id and e.body is not null
      join plugins p on p.tenant_id = d.tenant_id and p.id = d.plugin_id and p.deleted_at is null
      left join delivery_lanes l on l.plugin_id = d.plugin_id and l.tenant_id = d.tenant_id
      where d.tenant_id = ${tenantId} and d.id = any(${ids}::uuid[]) and d.status in ('retry', 'failed') and ${isMissing(request)}
        -- Somebody holds the lane and has it in hand, or is about to.
        and not (d.status = 'retry' and d.due_at <= clock_timestamp()
          and coalesce(l.lease_until > clock_timestamp(), false))
      order by d.id for no key update of d nowait
    )
    update deliveries d
    set status = 'pending', reason = 'manual_retry', due_at = now(), round_failures = 0, bulk = true,
      behind_since = null, ordering_place = ${placeAgain()}, superseded_by = null, coalesce_key = null
    from ready where d.tenant_id = ${tenantId} and d.id = ready.id
    returning d.plugin_id`.execute(trx)
  return rows.map(({ plugin_id }) => plugin_id)
}

/** Only inside the transaction that holds the job. */
export async function advanceBulkRetry(
  trx: Transaction<DB>,
  job: BulkRetryJob,
  progress: { cursor: string; queued: number; skipped: number },
  leaseMs: number,
): Promise<void> {
  const { cursor, queued, skipped } = progress
  const changes = sql`cursor_id = ${cursor}, queued = queued + ${queued}, skipped = skipped + ${skipped}`
  await advanceJob(trx, 'delivery_retries', job, { changes, leaseMs })
}

const PLUGINS_SHOWN = 100

/** Counts those of these deliveries that could be queued, by plugin. */
export async function countRetryable(
  db: Kysely<DB>,
  tenantId: string,
  request: BulkRetryRequest,
  ids: readonly string[],
): Promise<Omit<DeliveryRetryEstimate, 'complete'>> {
  const { rows } = await sql<{ plugin: string; count: number }>`
    select p.slug as plugin, count(*)::int as count
    from deliveries d
    join events e on e.tenant_id = d.tenant_id and e.id = d.event_id and e.body is not null
    join plugins p on p.tenant_id = d.tenant_id and p.id = d.plugin_id and p.deleted_at is null
    where d.tenant_id = ${tenantId} and d.id = any(${ids}::uuid[]) and ${isMissing(request)}
    group by p.slug order by count desc, plugin`.execute(db)
  const count = rows.reduce((sum, row) => sum + row.count, 0)
  return { count, skipped: ids.length - count, plugins: rows.slice(0, PLUGINS_SHOWN) }
}

/** Newest first; of a plugin's own key those of the plugin. */
export async function selectBulkRetries(
  db: Kysely<DB>,
  tenantId: string,
  { pluginId, before, limit }: { pluginId: string | null; before: string | null; limit: number },
): Promise<DeliveryRetry[]> {
  return shown(db, tenantId, pluginId)
    .$if(before !== null, (query) => query.where('r.id', '<', before))
    .orderBy('r.id', 'desc')
    .limit(limit)
    .execute()
}

export async function findBulkRetry(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
  pluginId: string | null,
): Promise<DeliveryRetry | undefined> {
  return shown(db, tenantId, pluginId).where('r.id', '=', id).executeTakeFirst()
}

function shown(db: Kysely<DB>, tenantId: string, pluginId: string | null) {
  return db
    .selectFrom('delivery_retries as r')
    .leftJoin('plugins as p', (join) =>
      join.onRef('p.id', '=', 'r.plugin_id').onRef('p.tenant_id', '=', 'r.tenant_id'),
    )
    .select([
      'r.id',
      'p.slug as plugin',
      'r.request as filter',
      'r.status',
      'r.queued',
      'r.skipped',
      'r.error',
      'r.created_at',
      'r.finished_at',
    ])
    .where('r.tenant_id', '=', tenantId)
    .$if(pluginId !== null, (query) => query.where('r.plugin_id', '=', pluginId))
}
