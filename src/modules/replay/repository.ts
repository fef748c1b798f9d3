import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, ReplayedStatus, StoredSubscription } from '#db/schema.ts'
import type { Replay } from './schemas.ts'

export interface ReplayPlugin {
  id: string
  slug: string
  subscriptions: StoredSubscription[]
  includeOwn: boolean
  registeredAt: Date
}

export async function findPlugin(
  db: Kysely<DB>,
  tenantId: string,
  slug: string,
): Promise<ReplayPlugin | undefined> {
  return db
    .selectFrom('plugins')
    .select(['id', 'slug', 'subscriptions', 'include_own as includeOwn', 'created_at as registeredAt'])
    .where('tenant_id', '=', tenantId)
    .where('slug', '=', slug)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

/**
 * Returns the end of "until now": above every event that was acknowledged before, on whole milliseconds, which is
 * what a Date can carry. A later time that was asked for becomes this one.
 */
export async function resolveUntil(db: Kysely<DB>, asked: Date | null): Promise<Date> {
  const { rows } = await sql<{ until: Date }>`
    select least(${asked}::timestamptz, date_trunc('milliseconds', clock_timestamp()) + interval '1 millisecond')
      as until
  `.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('a query without a table gave no row')
  return row.until
}

/** Those of recoveries do not count. Makes the others that open a replay for this tenant wait, so that the count stays true until the commit. */
export async function countOpenReplays(trx: Transaction<DB>, tenantId: string): Promise<number> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`replays:${tenantId}`}, 0))`.execute(trx)
  const { open } = await trx
    .selectFrom('replays')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('tenant_id', '=', tenantId)
    .where('recovery_id', 'is', null)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  return open
}

export async function insertReplay(
  trx: Transaction<DB>,
  row: {
    id: string
    tenant_id: string
    plugin_id: string
    since: Date | null
    until: Date
    event: string | null
    delivery_status: ReplayedStatus | null
  },
): Promise<void> {
  await trx.insertInto('replays').values(row).execute()
}

export interface ReplayFilter {
  /** Null: of every plugin. */
  pluginId: string | null
  slug: string | null
  before: string | null
  limit: number
}

/** Newest first. */
export async function selectReplays(
  db: Kysely<DB>,
  tenantId: string,
  filter: ReplayFilter,
): Promise<Replay[]> {
  return (
    selectReplay(db, tenantId)
      .$if(filter.pluginId !== null, (query) => query.where('replay.plugin_id', '=', filter.pluginId))
      // The live plugin of that slug, else the one that was deleted last: not a deleted namesake.
      .$if(filter.slug !== null, (query) =>
        query.where('replay.plugin_id', '=', (eb) =>
          eb
            .selectFrom('plugins as named')
            .select('named.id')
            .where('named.tenant_id', '=', tenantId)
            .where('named.slug', '=', filter.slug)
            .orderBy(sql`named.deleted_at desc nulls first`)
            .limit(1),
        ),
      )
      .$if(filter.before !== null, (query) => query.where('replay.id', '<', filter.before))
      .orderBy('replay.id', 'desc')
      .limit(filter.limit)
      .execute()
  )
}

/** @param pluginId null: of every plugin */
export async function findReplay(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
  pluginId: string | null,
): Promise<Replay | undefined> {
  return selectReplay(db, tenantId)
    .where('replay.id', '=', id)
    .$if(pluginId !== null, (query) => query.where('replay.plugin_id', '=', pluginId))
    .executeTakeFirst()
}

function selectReplay(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('replays as replay')
    .innerJoin('plugins as plugin', (join) =>
      join.onRef('plugin.id', '=', 'replay.plugin_id').onRef('plugin.tenant_id', '=', 'replay.tenant_id'),
    )
    .select([
      'replay.id',
      'plugin.slug as plugin',
      'replay.status',
      'replay.since',
      'replay.until',
      'replay.event',
      'replay.delivery_status',
      'replay.dry_run',
      'replay.recovery_id as recovery',
      'replay.scanned',
      'replay.queued',
      'replay.skipped',
      'replay.error',
      'replay.created_at',
      'replay.finished_at',
    ])
    .where('replay.tenant_id', '=', tenantId)
}
