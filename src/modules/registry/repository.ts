import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, PluginStatus } from '#db/schema.ts'
import type { NameOwner, StoredAction } from './action.ts'

export interface PluginHead {
  id: string
  slug: string
  status: PluginStatus
  /** Another one after every change of the row. */
  mark: string
}

export async function selectPluginHeads(db: Kysely<DB>, tenantId: string): Promise<PluginHead[]> {
  return pluginsOf(db, tenantId).execute()
}

/** With the actions as JSON text: the driver would parse it, and nobody knew how large it is. */
export async function selectPluginActions(
  db: Kysely<DB>,
  tenantId: string,
  pluginIds: readonly string[],
): Promise<(PluginHead & { actions: string })[]> {
  return pluginsOf(db, tenantId)
    .select(sql<string>`registered_actions::text`.as('actions'))
    .where(sql<boolean>`id = any(${pluginIds}::uuid[])`)
    .execute()
}

function pluginsOf(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('plugins')
    .select(['id', 'slug', 'status', sql<string>`xmin::text`.as('mark')])
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
}

export interface LockedPlugin {
  id: string
  slug: string
  active: boolean
  base_url: string
  actions: StoredAction[]
}

/** Nobody else changes the plugin before the transaction ends. */
export async function lockPlugin(
  trx: Transaction<DB>,
  tenantId: string,
  slug: string,
): Promise<LockedPlugin | undefined> {
  return trx
    .selectFrom('plugins')
    .select((eb) => [
      'id',
      'slug',
      eb('status', '=', 'active').$castTo<boolean>().as('active'),
      'base_url',
      eb.ref('registered_actions').$castTo<StoredAction[]>().as('actions'),
    ])
    .where('tenant_id', '=', tenantId)
    .where('slug', '=', slug)
    .where('deleted_at', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst()
}

export async function updateActions(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  actions: readonly StoredAction[],
): Promise<void> {
  await trx
    .updateTable('plugins')
    .set({ registered_actions: JSON.stringify(actions) })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', pluginId)
    .execute()
}

/** Of all actions of the tenant's plugins, as text. 25 ms for a thousand plugins with ten each. */
export async function countActionBytes(trx: Transaction<DB>, tenantId: string): Promise<number> {
  const { bytes } = await trx
    .selectFrom('plugins')
    .select(sql<number>`coalesce(sum(octet_length(registered_actions::text)), 0)`.as('bytes'))
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return bytes
}

/**
 * Returns the owners of names that more than one plugin has: the one that an admin has chosen last, then the one that
 * has had it longest.
 */
export async function selectSharedNames(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<NameOwner[]> {
  return db
    .selectFrom('action_names')
    .select(['action_type', 'plugin_id'])
    .where('tenant_id', '=', tenantId)
    .where('action_type', 'in', (eb) =>
      eb
        .selectFrom('action_names')
        .select('action_type')
        .where('tenant_id', '=', tenantId)
        .groupBy('action_type')
        .having(sql<boolean>`count(*) > 1`),
    )
    .orderBy(sql`chosen_at desc nulls last`)
    .orderBy('since')
    .orderBy('plugin_id')
    .execute()
}

/** Makes these the names of the plugin's actions; those that it had keep their time. */
export async function replaceNames(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  names: readonly string[],
): Promise<void> {
  await sql`
    with gone as (
      delete from action_names
      where tenant_id = ${tenantId} and plugin_id = ${pluginId} and action_type <> all (${names}::text[])
    )
    insert into action_names (tenant_id, action_type, plugin_id)
    select ${tenantId}, name, ${pluginId} from unnest(${names}::text[]) as name
    on conflict (tenant_id, action_type, plugin_id) do nothing`.execute(trx)
}

/** @returns false if the plugin has no action of the name */
export async function chooseName(
  trx: Transaction<DB>,
  tenantId: string,
  { action_type, plugin_id }: NameOwner,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('action_names')
    .set({ chosen_at: sql<Date>`clock_timestamp()` })
    .where('tenant_id', '=', tenantId)
    .where('action_type', '=', action_type)
    .where('plugin_id', '=', plugin_id)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}
