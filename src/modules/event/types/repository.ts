import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'

export interface TypeRow {
  name: string
  description: string | null
  sample: unknown
  schema: Record<string, unknown> | null
  plugin_id: string | null
  plugin: string | null
  created_at: Date
  updated_at: Date
}

function types(db: Kysely<DB> | Transaction<DB>, tenantId: string) {
  return db
    .selectFrom('event_types as type')
    .leftJoin('plugins as plugin', (join) =>
      join.onRef('plugin.id', '=', 'type.plugin_id').onRef('plugin.tenant_id', '=', 'type.tenant_id'),
    )
    .select([
      'type.name',
      'type.description',
      'type.sample',
      'type.schema',
      'type.plugin_id',
      'plugin.slug as plugin',
      'type.created_at',
      'type.updated_at',
    ])
    .where('type.tenant_id', '=', tenantId)
}

export async function selectTypes(db: Kysely<DB>, tenantId: string): Promise<TypeRow[]> {
  return types(db, tenantId).execute()
}

export async function findType(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<TypeRow | undefined> {
  return types(db, tenantId).where('type.name', '=', name).executeTakeFirst()
}

export async function countTypes(trx: Transaction<DB>, tenantId: string): Promise<number> {
  const { count } = await trx
    .selectFrom('event_types')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return count
}

export async function upsertType(
  trx: Transaction<DB>,
  type: {
    tenantId: string
    name: string
    description: string | null
    sample: string | null
    schema: string | null
  },
): Promise<void> {
  const { tenantId, name, description, sample, schema } = type
  await sql`
    insert into event_types (tenant_id, name, description, sample, schema)
    values (${tenantId}, ${name}, ${description}, ${sample}::json, ${schema}::jsonb)
    on conflict (tenant_id, name) do update set
      description = excluded.description, sample = excluded.sample, schema = excluded.schema,
      updated_at = now()`.execute(trx)
}

export async function deleteType(trx: Transaction<DB>, tenantId: string, name: string): Promise<void> {
  await trx.deleteFrom('event_types').where('tenant_id', '=', tenantId).where('name', '=', name).execute()
}

/** Types of the tenant that are not this plugin's. */
export async function selectOthersTypes(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<{ name: string; plugin_id: string | null }[]> {
  return trx
    .selectFrom('event_types')
    .select(['name', 'plugin_id'])
    .where('tenant_id', '=', tenantId)
    .where((eb) => eb.or([eb('plugin_id', 'is', null), eb('plugin_id', '<>', pluginId)]))
    .execute()
}

/** Types that the plugin has declared. */
export async function selectPluginTypes(
  trx: Transaction<DB>,
  { tenantId, pluginId }: { tenantId: string; pluginId: string },
): Promise<{ name: string; description: string; schema: SafeSchema | null }[]> {
  return trx
    .selectFrom('event_types')
    .select((eb) => [
      'name',
      eb.ref('description').$castTo<string>().as('description'),
      eb.ref('schema').$castTo<SafeSchema | null>().as('schema'),
    ])
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}

/** Those whose names are not kept. */
export async function deletePluginTypes(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
  keptNames: readonly string[],
): Promise<void> {
  await trx
    .deleteFrom('event_types')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where(sql<boolean>`name <> all(${keptNames}::text[])`)
    .execute()
}

export async function upsertPluginTypes(
  trx: Transaction<DB>,
  { tenantId, pluginId }: { tenantId: string; pluginId: string },
  types: readonly { name: string; description: string; schema: object | null }[],
): Promise<void> {
  await sql`
    insert into event_types (tenant_id, name, description, schema, plugin_id)
    select ${tenantId}, t.name, t.description, t.schema, ${pluginId}
    from jsonb_to_recordset(${JSON.stringify(types)}::jsonb) as t (name text, description text, schema jsonb)
    on conflict (tenant_id, name) do update set
      description = excluded.description, schema = excluded.schema, updated_at = now()
    where (event_types.description, event_types.schema) is distinct from (excluded.description, excluded.schema)`.execute(
    trx,
  )
}
