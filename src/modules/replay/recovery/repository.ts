import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, ReplayedStatus } from '#db/schema.ts'
import { cancelJob } from '#infra/job-repository.ts'
import type { RecoveredPlugin, Recovery } from './schemas.ts'

/** A tenant; null: the recoveries above all tenants. */
export type RecoveryScope = string | null

/** Makes the others that open a recovery of the scope wait, so that the count stays true until the commit. */
export async function countOpenRecoveries(trx: Transaction<DB>, scope: RecoveryScope): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`recoveries:${scope ?? ''}`}, 0))`.execute(trx)
  const { open } = await trx
    .selectFrom('recoveries')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('tenant_id', 'is not distinct from', scope)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  return open
}

export async function insertRecovery(
  trx: Transaction<DB>,
  row: {
    id: string
    tenant_id: RecoveryScope
    since: Date
    until: Date
    event: string | null
    delivery_status: ReplayedStatus | null
    dry_run: boolean
  },
): Promise<void> {
  await trx.insertInto('recoveries').values(row).execute()
}

/** Newest first. */
export async function selectRecoveries(
  db: Kysely<DB>,
  scope: RecoveryScope,
  { before, limit }: { before: string | null; limit: number },
): Promise<Recovery[]> {
  return selectRecovery(db, scope)
    .$if(before !== null, (query) => query.where('id', '<', before))
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

export async function findRecovery(
  db: Kysely<DB>,
  scope: RecoveryScope,
  id: string,
): Promise<Recovery | undefined> {
  return selectRecovery(db, scope).where('id', '=', id).executeTakeFirst()
}

export interface RecoveredPluginRow extends RecoveredPlugin {
  plugin_id: string
}

/** Returns a recovery's results, plugin by plugin, in the order of their ids. */
export async function selectRecoveredPlugins(
  db: Kysely<DB>,
  { id, tenant_id: scope }: Pick<Recovery, 'id' | 'tenant_id'>,
  { after, limit }: { after: string | null; limit: number },
): Promise<RecoveredPluginRow[]> {
  return db
    .selectFrom('replays as r')
    .innerJoin('plugins as p', (join) =>
      join.onRef('p.id', '=', 'r.plugin_id').onRef('p.tenant_id', '=', 'r.tenant_id'),
    )
    .select([
      'r.tenant_id',
      'p.slug as plugin',
      'r.plugin_id',
      'r.id as replay',
      'r.status',
      'r.scanned',
      'r.queued',
      'r.skipped',
      'r.error',
    ])
    .where('r.recovery_id', '=', id)
    .$if(scope !== null, (query) => query.where('r.tenant_id', '=', scope))
    .$if(after !== null, (query) => query.where('r.plugin_id', '>', after))
    .orderBy('r.plugin_id')
    .limit(limit)
    .execute()
}

/**
 * Ends a recovery and its replays that have not ended; deliveries that they have queued stay queued. @returns false
 * if it is not open (any more)
 */
export async function cancelRecoveryRow(
  trx: Transaction<DB>,
  scope: RecoveryScope,
  id: string,
): Promise<boolean> {
  if (!(await cancelJob(trx, 'recoveries', { tenantId: scope, id }))) return false
  await cancelReplaysOf(trx, scope, id)
  return true
}

/** Ends a recovery's replays that have not ended. */
export async function cancelReplaysOf(
  trx: Transaction<DB>,
  scope: RecoveryScope,
  id: string,
  error: string | null = null,
): Promise<void> {
  await trx
    .updateTable('replays')
    .set({ status: 'cancelled', error, finished_at: sql<Date>`now()`, lease_until: null })
    .where('recovery_id', '=', id)
    .$if(scope !== null, (query) => query.where('tenant_id', '=', scope))
    .where('status', 'in', ['queued', 'running'])
    .execute()
}

function selectRecovery(db: Kysely<DB>, scope: RecoveryScope) {
  return db
    .selectFrom('recoveries')
    .select([
      'id',
      'tenant_id',
      'status',
      'since',
      'until',
      'event',
      'delivery_status',
      'dry_run',
      'plugins',
      'plugins_open',
      'scanned',
      'queued',
      'skipped',
      'error',
      'created_at',
      'finished_at',
    ])
    .where('tenant_id', 'is not distinct from', scope)
}
