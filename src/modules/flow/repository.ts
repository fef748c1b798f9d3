import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { DB, FlowStatus } from '#db/schema.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'

export type FlowRow = Selectable<DB['automation_flows']>
export type FlowHead = Omit<FlowRow, 'definition' | 'template_key'>

const HEAD = [
  'tenant_id',
  'id',
  'name',
  'description',
  'status',
  'status_reason',
  'off_since',
  'triggers',
  'published_version',
  'revision',
  'consecutive_failures',
  'failing_since',
  'times_triggered',
  'last_triggered_at',
  'template_id',
  'automation',
  'created_at',
  'updated_at',
  'deleted_at',
] as const

type Db = Kysely<DB> | Transaction<DB>

export async function findFlow(db: Db, tenantId: string, id: string): Promise<FlowRow | undefined> {
  return flow(db, tenantId, id).executeTakeFirst()
}

/** The same, and nobody else changes it until the transaction ends. */
export async function lockFlow(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
): Promise<FlowRow | undefined> {
  return flow(trx, tenantId, id).forUpdate().executeTakeFirst()
}

function flow(db: Db, tenantId: string, id: string) {
  return db
    .selectFrom('automation_flows')
    .selectAll()
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .where('deleted_at', 'is', null)
}

export interface NewFlowRow {
  tenant_id: string
  id: string
  name: string
  description: string | null
  status: FlowStatus
  definition: string
  triggers: string
  template_id: string | null
  template_key: string | null
  automation: string | null
}

/** Violated by a second flow of the same template with the same parameters. */
export const TEMPLATE_KEY_INDEX = 'automation_flows_tenant_id_template_key'

/** Finds the flow that was installed from a template with these parameters, and is still there. */
export async function findInstalled(
  db: Db,
  tenantId: string,
  templateId: string,
  templateKey: string,
): Promise<FlowRow | undefined> {
  return db
    .selectFrom('automation_flows')
    .selectAll()
    .where('tenant_id', '=', tenantId)
    .where('template_id', '=', templateId)
    .where('template_key', '=', templateKey)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
}

export async function insertFlow(trx: Transaction<DB>, row: NewFlowRow): Promise<FlowRow> {
  return trx.insertInto('automation_flows').values(row).returningAll().executeTakeFirstOrThrow()
}

export interface FlowChange {
  name?: string
  description?: string | null
  definition?: string
  triggers?: string
  status?: FlowStatus
  status_reason?: string | null
  off_since?: Date | null
  published_version?: number | null
  consecutive_failures?: number
  automation?: string | null
}

/** Every change raises the revision. */
export async function updateFlow(
  trx: Transaction<DB>,
  { tenant_id, id }: Pick<FlowRow, 'tenant_id' | 'id'>,
  change: FlowChange,
): Promise<FlowRow> {
  return trx
    .updateTable('automation_flows')
    .set((eb) => ({ ...change, revision: eb('revision', '+', 1), updated_at: sql<Date>`now()` }))
    .where('tenant_id', '=', tenant_id)
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
}

export async function markDeleted(
  trx: Transaction<DB>,
  { tenant_id, id }: Pick<FlowRow, 'tenant_id' | 'id'>,
): Promise<void> {
  await trx
    .updateTable('automation_flows')
    .set((eb) => ({
      status: 'inactive' as const,
      deleted_at: sql<Date>`now()`,
      revision: eb('revision', '+', 1),
    }))
    .where('tenant_id', '=', tenant_id)
    .where('id', '=', id)
    .execute()
}

export async function countFlows(trx: Transaction<DB>, tenantId: string): Promise<number> {
  const { count } = await trx
    .selectFrom('automation_flows')
    .select(sql<number>`count(*)::int`.as('count'))
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return count
}

export interface FlowFilter {
  status: FlowStatus | null
  /** In the name or the description, whatever the case. */
  q: string | null
  /** It starts by this event type: its draft says so, or what is published. */
  event: string | null
  trigger: string | null
  templateId: string | null
  /** Older than this one. */
  before: string | null
  limit: number
}

/** Newest first. */
export async function selectFlows(db: Db, tenantId: string, filter: FlowFilter): Promise<FlowHead[]> {
  let query = db
    .selectFrom('automation_flows')
    .select(HEAD)
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
  if (filter.status !== null) query = query.where('status', '=', filter.status)
  if (filter.templateId !== null) query = query.where('template_id', '=', filter.templateId)
  if (filter.before !== null) query = query.where('id', '<', filter.before)
  if (filter.q !== null) {
    const part = `%${filter.q.replaceAll(/[\\%_]/g, '\\$&')}%`
    query = query.where((eb) => eb.or([eb('name', 'ilike', part), eb('description', 'ilike', part)]))
  }
  for (const wanted of [
    ...(filter.event === null ? [] : [{ type: 'event', event_types: [filter.event] }]),
    ...(filter.trigger === null ? [] : [{ type: filter.trigger }]),
  ]) {
    const text = JSON.stringify([wanted])
    query = query.where(
      sql<boolean>`(triggers @> ${text}::jsonb or exists (
        select from automation_flow_versions v
        where v.tenant_id = automation_flows.tenant_id and v.flow_id = automation_flows.id
          and v.version = automation_flows.published_version
          and (v.flow->'triggers')::jsonb @> ${text}::jsonb))`,
    )
  }
  return query.orderBy('id', 'desc').limit(filter.limit).execute()
}

export interface KnownEventType {
  name: string
  schema: SafeSchema | null
  sample: unknown
  plugin_id: string | null
}

/** The event types that the tenant and its plugins have declared, and in a lenient tenant those that came. */
export async function selectEventTypes(
  db: Db,
  tenantId: string,
): Promise<{ strict: boolean; types: KnownEventType[] }> {
  const [tenant, declared, seen] = await Promise.all([
    db.selectFrom('tenants').select('strict_events').where('id', '=', tenantId).executeTakeFirst(),
    db
      .selectFrom('event_types')
      .select(['name', 'schema', 'sample', 'plugin_id'])
      .where('tenant_id', '=', tenantId)
      .execute(),
    db.selectFrom('seen_event_types').select(['name', 'sample']).where('tenant_id', '=', tenantId).execute(),
  ])
  const strict = tenant?.strict_events ?? false
  const undeclared = strict ? [] : seen.map((type) => ({ ...type, schema: null, plugin_id: null }))
  return { strict, types: [...undeclared, ...declared] }
}
