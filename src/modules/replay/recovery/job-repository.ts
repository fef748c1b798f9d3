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
  /** Plugins that have a replay by it. */
  plugins: number
}

export async function claimRecovery(db: Kysely<DB>, leaseMs: number): Promise<RecoveryJob | null> {
  const columns = sql`j.since, j.until, j.event, j.delivery_status as "deliveryStatus", j.dry_run as "dryRun",
    j.cursor_plugin_id as cursor, j.spread, j.plugins`
  return claimJob<RecoveryJob>(db, 'recoveries', { leaseMs, columns })
}

/** Counts a recovery's replays that have not ended: by an index that has no others. */
export async function countOpenReplays(trx: Transaction<DB>, job: RecoveryJob): Promise<number> {
  const { rows } = await sql<{ open: number }>`
    select count(*)::int as open from replays
    where recovery_id = ${job.id} and status in ('queued', 'running') and ${isInScope(job)}
  `.execute(trx)
  return rows[0]?.open ?? 0
}

/** The sums over a recovery's replays so far. */
export interface RecoverySums {
  scanned: number
  queued: number
  skipped: number
}

/** Reads all of a recovery's replays: not to be asked for each batch. */
export async function sumReplays(trx: Transaction<DB>, job: RecoveryJob): Promise<RecoverySums> {
  const { rows } = await sql<RecoverySums>`
    select coalesce(sum(scanned), 0)::bigint as scanned, coalesce(sum(queued), 0)::bigint as queued,
      coalesce(sum(skipped), 0)::bigint as skipped
    from replays where recovery_id = ${job.id} and ${isInScope(job)}
  `.execute(trx)
  const [row] = rows
  if (row === undefined) throw new Error('a sum gave no row')
  return row
}

/** A recovery above all tenants has replays of any. */
function isInScope({ tenantId }: RecoveryJob) {
  return sql`(${tenantId}::uuid is null or tenant_id = ${tenantId})`
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

export interface RecoveryProgress {
  cursor: string | null
  spread: boolean
  plugins: number
  open: number
  /** Null: they stay as they are. */
  sums: RecoverySums | null
}

/** Only inside the transaction that holds the job. */
export async function advanceRecovery(
  trx: Transaction<DB>,
  job: RecoveryJob,
  { cursor, spread, plugins, open, sums }: RecoveryProgress,
  leaseMs: number,
): Promise<void> {
  const summed = sums === null ? sql`` : sql`, ${sumColumns(sums)}`
  const changes = sql`cursor_plugin_id = ${cursor}, spread = ${spread}, plugins = ${plugins}, plugins_open = ${open} ${summed}`
  await advanceJob(trx, 'recoveries', job, { changes, leaseMs })
}

/** Only inside the transaction that holds the job, when none of its replays is open. */
export async function endRecovery(
  trx: Transaction<DB>,
  job: RecoveryJob,
  end: { status: 'completed' | 'failed'; error: string | null },
): Promise<void> {
  const changes = sql`plugins_open = 0, ${sumColumns(await sumReplays(trx, job))}`
  await finishJob(trx, 'recoveries', job, { ...end, changes })
}

function sumColumns({ scanned, queued, skipped }: RecoverySums) {
  return sql`scanned = ${scanned}, queued = ${queued}, skipped = ${skipped}`
}
