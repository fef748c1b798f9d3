import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, PluginStatus } from '#db/schema.ts'
import { SETTINGS_COLUMNS, type WrittenColumns } from './settings/fields.ts'

export interface StatusColumns {
  status: PluginStatus
  status_reason: string | null
}

/** A plugin with what its lane says of its health. */
export type PluginRow = NonNullable<Awaited<ReturnType<typeof findPlugin>>>

const now = sql<Date>`now()`

/** @throws a unique violation of plugins_tenant_id_slug_key */
export async function insertPlugin(
  trx: Transaction<DB>,
  row: WrittenColumns & StatusColumns & { id: string; tenant_id: string; slug: string },
): Promise<void> {
  await trx.insertInto('plugins').values(row).execute()
}

export async function findPlugin(db: Kysely<DB>, tenantId: string, slug: string) {
  return selectPlugins(db, tenantId).where('plugin.slug', '=', slug).executeTakeFirst()
}

/** The same, and nobody else changes it before the transaction ends. */
export async function lockPlugin(
  trx: Transaction<DB>,
  tenantId: string,
  slug: string,
): Promise<PluginRow | undefined> {
  return selectPlugins(trx, tenantId)
    .where('plugin.slug', '=', slug)
    .forNoKeyUpdate('plugin')
    .executeTakeFirst()
}

export interface PluginFilter {
  limit: number
  /** The last id of the page before. */
  before: string | null
  /** The one plugin that a plugin's own key may see. */
  id: string | null
  status: PluginStatus | undefined
  /** Part of the name or slug. */
  q: string | undefined
  /** A subscription to any of these patterns. */
  patterns: readonly string[] | null
}

/** Newest first. */
export async function listPlugins(
  db: Kysely<DB>,
  tenantId: string,
  filter: PluginFilter,
): Promise<PluginRow[]> {
  let query = selectPlugins(db, tenantId).orderBy('plugin.id', 'desc').limit(filter.limit)
  if (filter.before !== null) query = query.where('plugin.id', '<', filter.before)
  if (filter.id !== null) query = query.where('plugin.id', '=', filter.id)
  if (filter.status !== undefined) query = query.where('plugin.status', '=', filter.status)
  if (filter.q !== undefined) {
    const { q } = filter
    query = query.where(
      sql<boolean>`(strpos(lower(plugin.name), lower(${q})) > 0 or strpos(plugin.slug, lower(${q})) > 0)`,
    )
  }
  if (filter.patterns !== null) {
    query = query.where(
      sql<boolean>`exists (select from jsonb_array_elements(plugin.subscriptions) as subscription
        where subscription->>'event' = any(${filter.patterns}::text[]))`,
    )
  }
  return query.execute()
}

/** Every change raises the revision: workers and If-Match go by it. */
export async function updatePlugin(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  columns: Partial<WrittenColumns & StatusColumns>,
): Promise<void> {
  await changePlugin(trx, tenantId, id)
    .set(columns)
    .$if(columns.status !== undefined, (query) => query.set({ status_changed_at: now }))
    .execute()
}

/** The row stays for the deliveries that name it, without its secrets; the slug is free again. */
export async function markPluginDeleted(trx: Transaction<DB>, tenantId: string, id: string): Promise<void> {
  await changePlugin(trx, tenantId, id)
    .set({
      deleted_at: now,
      status: 'disabled',
      status_reason: 'deleted',
      status_changed_at: now,
      config_sealed: null,
      headers_sealed: null,
      client_certificate_sealed: null,
      client_certificate_ends_at: null,
      subscriptions: '[]',
      registered_actions: '[]',
    })
    .execute()
}

export async function deleteCapabilities(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await trx
    .deleteFrom('plugin_capabilities')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}

export async function deleteActionNames(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await trx
    .deleteFrom('action_names')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}

/** @returns the ids of the plugin's keys that were live */
export async function revokePluginKeys(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<string[]> {
  const rows = await trx
    .updateTable('api_keys')
    .set({ revoked_at: now })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('revoked_at', 'is', null)
    .returning('id')
    .execute()
  return rows.map((row) => row.id)
}

/** Counts the deliveries that wait, no further than `max`. */
export async function countWaiting(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  max: number,
): Promise<number> {
  const { count } = await db
    .selectFrom((eb) =>
      eb
        .selectFrom('deliveries')
        .select('id')
        .where('tenant_id', '=', tenantId)
        .where('plugin_id', '=', pluginId)
        .where('status', 'in', ['pending', 'retry'])
        .limit(max)
        .as('waiting'),
    )
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  return count
}

function changePlugin(trx: Transaction<DB>, tenantId: string, id: string) {
  return trx
    .updateTable('plugins')
    .set((eb) => ({ revision: eb('revision', '+', 1), updated_at: now }))
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
}

/** A key that is held back for longer is told of. */
const KEY_HELD_SECONDS = 300

const KEY_HELD_SINCE = sql<Date | null>`(
  select held.behind_since from deliveries held
  where held.plugin_id = plugin.id and held.tenant_id = plugin.tenant_id and held.status in ('pending', 'retry')
    and held.behind_since < now() - ${sql.lit(KEY_HELD_SECONDS)} * interval '1 second'
  order by held.behind_since limit 1)`

function selectPlugins(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('plugins as plugin')
    .leftJoin('delivery_lanes as lane', (join) =>
      join.onRef('lane.plugin_id', '=', 'plugin.id').onRef('lane.tenant_id', '=', 'plugin.tenant_id'),
    )
    .select([
      'plugin.id',
      'plugin.tenant_id',
      'plugin.slug',
      'plugin.status',
      'plugin.status_reason',
      'plugin.revision',
      'plugin.created_at',
      'plugin.updated_at',
      'lane.consecutive_failures',
      'lane.failing_since',
      'lane.last_success_at',
      'lane.last_failure_at',
      'lane.last_error_class',
      'lane.breaker_state',
      'lane.hold_until',
      'lane.hold_reason',
    ])
    .select(KEY_HELD_SINCE.as('key_held_since'))
    .select(SETTINGS_COLUMNS.map((column) => `plugin.${column}` as const))
    .where('plugin.tenant_id', '=', tenantId)
    .where('plugin.deleted_at', 'is', null)
}
