import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export interface Sought {
  tenantId: string
  /** Of a plugin's own key. */
  pluginId: string | null
  text: string
  /** The same as an id; null: it is none. */
  id: string | null
  limit: number
}

export interface Found {
  id: string
  title: string
}

/** Of each statement of the transaction from now on. */
export async function limitTime(trx: Transaction<DB>, ms: number): Promise<void> {
  await sql`select set_config('statement_timeout', ${String(ms)}, true)`.execute(trx)
}

/** A shop's plugins are few. */
export async function findPlugins(
  trx: Transaction<DB>,
  { tenantId, pluginId, text, id, limit }: Sought,
): Promise<Found[]> {
  const own = pluginId === null ? sql`` : sql`and id = ${pluginId}`
  return found(
    trx,
    sql`select slug as id, name as title from plugins
    where tenant_id = ${tenantId} and deleted_at is null ${own}
      and (starts_with(lower(slug), lower(${text})) or starts_with(lower(name), lower(${text})) or id = ${id}::uuid)
    order by slug limit ${limit}`,
  )
}

/** A shop's flows are few, too. */
export async function findFlows(
  trx: Transaction<DB>,
  { tenantId, text, id, limit }: Sought,
): Promise<Found[]> {
  return found(
    trx,
    sql`select id::text, name as title from automation_flows
    where tenant_id = ${tenantId} and deleted_at is null
      and (starts_with(lower(name), lower(${text})) or id = ${id}::uuid)
    order by name, id limit ${limit}`,
  )
}

export async function findTypes(trx: Transaction<DB>, { tenantId, text, limit }: Sought): Promise<Found[]> {
  const begins = sql`tenant_id = ${tenantId} and starts_with(lower(name), lower(${text}))`
  return found(
    trx,
    sql`select name as id, name as title from event_types where ${begins}
    union select name, name from seen_event_types where ${begins}
    order by id limit ${limit}`,
  )
}

export async function findEvents(
  trx: Transaction<DB>,
  { tenantId, text, id, limit }: Sought,
): Promise<Found[]> {
  return found(
    trx,
    sql`select id::text, event || coalesce(' ' || source_id, '') as title from (
      (select id, event, source_id from events where tenant_id = ${tenantId} and id = ${id}::uuid)
      union
      (select id, event, source_id from events where tenant_id = ${tenantId} and ${begins(sql`source_id`, text)}
       order by source_id limit ${limit})
    ) e order by source_id, id limit ${limit}`,
  )
}

export async function findExecutions(
  trx: Transaction<DB>,
  { tenantId, text, id, limit }: Sought,
): Promise<Found[]> {
  return found(
    trx,
    sql`select e.id::text, concat_ws(' ', coalesce(f.name, 'Flow'), e.key) as title from (
      (select id, flow_id, key from automation_executions where tenant_id = ${tenantId} and id = ${id}::uuid)
      union
      (select id, flow_id, key from automation_executions where tenant_id = ${tenantId} and ${begins(sql`key`, text)}
       order by key limit ${limit})
    ) e left join automation_flows f on f.tenant_id = ${tenantId} and f.id = e.flow_id
    order by e.id desc limit ${limit}`,
  )
}

export async function findDeliveries(
  trx: Transaction<DB>,
  { tenantId, pluginId, id, limit }: Sought,
): Promise<Found[]> {
  const own = pluginId === null ? sql`` : sql`and d.plugin_id = ${pluginId}`
  return found(
    trx,
    sql`select d.id::text, d.event || ' → ' || p.slug as title
    from deliveries d join plugins p on p.tenant_id = d.tenant_id and p.id = d.plugin_id
    where d.tenant_id = ${tenantId} and d.id = ${id}::uuid ${own} limit ${limit}`,
  )
}

export async function findMessages(
  trx: Transaction<DB>,
  { tenantId, text, id, limit }: Sought,
): Promise<Found[]> {
  return found(
    trx,
    sql`select id::text, concat_ws(' ', recipient, subject) as title from (
      (select id, recipient, subject from automation_messages where tenant_id = ${tenantId} and id = ${id}::uuid)
      union
      (select id, recipient, subject from automation_messages where tenant_id = ${tenantId} and recipient = ${text}
       order by id desc limit ${limit})
    ) m order by id desc limit ${limit}`,
  )
}

/** By its own id, or by that of its invocation. */
export async function findCalls(trx: Transaction<DB>, { tenantId, id, limit }: Sought): Promise<Found[]> {
  return found(
    trx,
    sql`select id::text, concat_ws(' · ', action_type, plugin, status) as title from (
      (select id, action_type, plugin, status from automation_event_log where tenant_id = ${tenantId} and id = ${id}::uuid)
      union
      (select id, action_type, plugin, status from automation_event_log
       where tenant_id = ${tenantId} and invocation_id = ${id}::uuid order by id desc limit ${limit})
    ) c order by id desc limit ${limit}`,
  )
}

export async function findAuditEntries(
  trx: Transaction<DB>,
  { tenantId, id, limit }: Sought,
): Promise<Found[]> {
  return found(
    trx,
    sql`select id::text, action || ' ' || target_id as title from audit_log
    where tenant_id = ${tenantId} and id = ${id}::uuid limit ${limit}`,
  )
}

function begins(column: RawBuilder<unknown>, text: string): RawBuilder<unknown> {
  return sql`${column} >= ${text} and ${column} < ${text} || chr(1114111)`
}

async function found(trx: Transaction<DB>, query: RawBuilder<unknown>): Promise<Found[]> {
  const { rows } = await sql<Found>`${query}`.execute(trx)
  return rows
}
