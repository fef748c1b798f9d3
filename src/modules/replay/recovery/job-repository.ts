import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, ReplayedStatus } from '#db/schema.ts'
import { advanceJob, claimJob, finishJob, type HeldJob } from '#infra/job-repository.ts'
import { newId } from '#lib/ids.ts'

/** A recovery that a worker holds. */
export interface RecoveryJob extends HeldJob {
  since: Date
  until: Date
  event: string | null
  deliveryStatus: ReplayedStatus | null
  dryRun: boolean
  /** The last plugin that has a replay by it. */
  cursor: string | null
  /** No plugin is left. */
  spread: boolean
}

export async function claimRecovery(db: Kysely<DB>, leaseMs: number): Promise<RecoveryJob | null> {
  const columns = sql`j.since, j.until, j.event, j.delivery_status as "deliveryStatus", j.dry_run as "dryRun",
    j.cursor_plugin_id as cursor, j.spread`
  return claimJob<RecoveryJob>(db, 'recoveries', { leaseMs, columns })
}

/** What a recovery's replays came to so far. */
export interface RecoveryCounts {
  plugins: number
  plugins_open: number
  scanned: number
  queued: number
  skipped: number
}

export async function countReplays(trx: Transaction<DB>, job: RecoveryJob): Promise<RecoveryCounts> {
  const { rows } = await sql<RecoveryCounts>`
    select count(*)::int as plugins, count(*) filter (where status in ('queued', 'running'))::int as plugins_open,
      coalesce(sum(scanned), 0)::bigint as scanned, coalesce(sum(queued), 0)::bigint as queued,
      coalesce(sum(skipped), 0)::bigint as skipped
    from replays
    where recovery_id = ${job.id} and (${job.tenantId}::uuid is null or tenant_id = ${job.tenantId})
  `.execute(trx)
  const [row] = rows
  if (row === undefined) throw new Error('a count gave no row')
  return row
}

export interface PluginPlace {
  id: string
  tenantId: string
}

/** The next plugins of the tenant, or of all tenants, by id. */
export async function readPlugins(
  trx: Transaction<DB>,
  job: RecoveryJob,
  limit: number,
): Promise<PluginPlace[]> {
  const { tenantId, cursor } = job
  return trx
    .selectFrom('plugins')
    .select(['id', 'tenant_id as tenantId'])
    .$if(tenantId !== null, (query) => query.where('tenant_id', '=', tenantId))
    .$if(cursor !== null, (query) => query.where('id', '>', cursor))
    .where('deleted_at', 'is', null)
    .orderBy('id')
    .limit(limit)
    .execute()
}

/** Gives each of these plugins its replay. */
export async function insertReplays(
  trx: Transaction<DB>,
  job: RecoveryJob,
  plugins: readonly PluginPlace[],
): Promise<void> {
  const { id, since, until, event, deliveryStatus, dryRun } = job
  await sql`
    insert into replays (id, tenant_id, plugin_id, since, until, event, delivery_status, dry_run, recovery_id)
    select made.id, made.tenant_id, made.plugin_id, ${since}::timestamptz, ${until}::timestamptz, ${event}::text,
      ${deliveryStatus}::text, ${dryRun}::boolean, ${id}::uuid
    from unnest(${plugins.map(() => newId())}::uuid[], ${plugins.map(({ tenantId }) => tenantId)}::uuid[],
      ${plugins.map((plugin) => plugin.id)}::uuid[]) as made (id, tenant_id, plugin_id)`.execute(trx)
}

/** Only inside the transaction that holds the job. */
export async function advanceRecovery(
  trx: Transaction<DB>,
  job: RecoveryJob,
  progress: { counts: RecoveryCounts; cursor: string | null; spread: boolean },
  leaseMs: number,
): Promise<void> {
  const { counts, cursor, spread } = progress
  const changes = sql`${countColumns(counts)}, cursor_plugin_id = ${cursor}, spread = ${spread}`
  await advanceJob(trx, 'recoveries', job, { changes, leaseMs })
}

export async function completeRecovery(
  trx: Transaction<DB>,
  job: RecoveryJob,
  counts: RecoveryCounts,
): Promise<void> {
  await finishJob(trx, 'recoveries', job, { status: 'completed', error: null, changes: countColumns(counts) })
}

function countColumns({ plugins, plugins_open, scanned, queued, skipped }: RecoveryCounts) {
  return sql`plugins = ${plugins}, plugins_open = ${plugins_open}, scanned = ${scanned}, queued = ${queued},
    skipped = ${skipped}`
}
