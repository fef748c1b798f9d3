import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { TimeRange } from '#infra/http/log-filters.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'
import { toRecorded } from '../dispatch/claim-repository.ts'

const COLUMNS = [
  'id',
  'flow_execution_id',
  'event_key',
  'action_type',
  'plugin',
  'success',
  'status',
  'error_code',
  'response_status',
  'attempts',
  'duration_ms',
  'invocation_id',
  'key_id',
  'created_at',
] as const

/** As text: parsed, they would lose the order of members that are called like numbers. */
const writtenColumns = [
  sql<string | null>`l.payload::text`.as('payload'),
  sql<string | null>`l.result::text`.as('result'),
]

const COMMON_STATUSES = [200, 204]

export interface EventLogFilter extends TimeRange {
  tenantId: string
  execution: string | null
  action: string | null
  plugin: string | null
  success: boolean | null
  errorCode: string | null
  responseStatuses: readonly number[] | null
  attemptsMin: number | null
  beforeId: string | null
  limit: number
}

export function listEventLog(db: Kysely<DB>, filter: EventLogFilter) {
  let query = db
    .selectFrom('automation_event_log as l')
    .select(COLUMNS)
    .select(writtenColumns)
    .where('tenant_id', '=', filter.tenantId)
    .orderBy('id', 'desc')
    .limit(filter.limit)
  if (filter.execution !== null) query = query.where('flow_execution_id', '=', filter.execution)
  if (filter.action !== null) query = query.where('action_type', '=', filter.action)
  if (filter.plugin !== null) query = query.where('plugin', '=', filter.plugin)
  if (filter.success !== null) query = query.where('success', '=', filter.success)
  if (filter.success === false) query = query.where(sql<boolean>`not success`)
  if (filter.errorCode !== null) query = query.where('error_code', '=', filter.errorCode)
  if (filter.responseStatuses !== null) {
    query = query.where('response_status', '=', sql<number>`any(${filter.responseStatuses}::smallint[])`)
    // Says that the index of the rare ones will do.
    if (!COMMON_STATUSES.some((status) => filter.responseStatuses?.includes(status))) {
      query = query.where(sql<boolean>`response_status not in (200, 204)`)
    }
  }
  if (filter.attemptsMin !== null) {
    query = query.where('attempts', '>=', filter.attemptsMin)
    if (filter.attemptsMin > 1) query = query.where('attempts', '>', sql<number>`1`)
  }
  if (filter.since !== null) {
    // Ids are in order of time: where to stop reading, but for the clocks that minted them.
    const from = lowestIdAt(filter.since.getTime() - ID_CLOCK_SLACK_MS)
    query = query.where('created_at', '>=', filter.since).where('id', '>=', from)
  }
  if (filter.until !== null) {
    const to = lowestIdAt(filter.until.getTime() + ID_CLOCK_SLACK_MS)
    query = query.where('created_at', '<', filter.until).where('id', '<', to)
  }
  if (filter.beforeId !== null) query = query.where('id', '<', filter.beforeId)
  return query.execute()
}

/** The id that the text is; null: it is none. Callers name executions as they like. */
function uuidIn(text: RawBuilder<unknown>): RawBuilder<string> {
  return sql`case when ${text} ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then (${text})::uuid end`
}

/**
 * One entry, with who asked for it, and how its invocation stands now. The plugin is told by the key alone: whoever
 * dispatches may write into the id what a plugin's or a run's has, and for what a flow calls no key asks.
 */
export async function findLogEntry(db: Kysely<DB>, tenantId: string, id: string) {
  return db
    .selectFrom('automation_event_log as l')
    .leftJoin('action_invocations as i', (join) =>
      join.on('i.tenant_id', '=', tenantId).onRef('i.id', '=', 'l.invocation_id'),
    )
    .leftJoin('api_keys as k', (join) =>
      join
        .onRef('k.id', '=', 'l.key_id')
        .on((eb) => eb.or([eb('k.tenant_id', 'is', null), eb('k.tenant_id', '=', tenantId)])),
    )
    .leftJoin('plugins as p', (join) =>
      join.on('p.tenant_id', '=', tenantId).onRef('p.id', '=', 'k.plugin_id'),
    )
    .leftJoin('automation_executions as e', (join) =>
      join
        .on('e.tenant_id', '=', tenantId)
        .on('e.id', '=', uuidIn(sql`l.flow_execution_id`))
        .on('l.key_id', 'is', null),
    )
    .leftJoin('automation_flows as f', (join) =>
      join.on('f.tenant_id', '=', tenantId).onRef('f.id', '=', 'e.flow_id'),
    )
    .select(COLUMNS.map((column) => `l.${column}` as const))
    .select(writtenColumns)
    .select([
      'k.name as key_name',
      'p.slug as dispatched_by',
      'i.status as invocation_status',
      'i.complete_until',
      'i.finished_at',
      'e.id as execution_id',
      'e.flow_id',
      'f.name as flow_name',
      'e.event_id',
    ])
    .where('l.tenant_id', '=', tenantId)
    .where('l.id', '=', id)
    .executeTakeFirst()
}

export async function findInvocation(
  db: Kysely<DB>,
  tenantId: string,
  { flowExecutionId, eventKey }: { flowExecutionId: string; eventKey: string },
) {
  const row = await db
    .selectFrom('action_invocations')
    .select([
      'id',
      'action_type',
      'fingerprint',
      'status',
      'lease_token',
      sql<string | null>`data::text`.as('data'),
      'error_code',
      'error_message',
      'response_status',
      'duration_ms',
      'attempts',
    ])
    .where('tenant_id', '=', tenantId)
    .where('flow_execution_id', '=', flowExecutionId)
    .where('event_key', '=', eventKey)
    .executeTakeFirst()
  return row && toRecorded(row)
}
