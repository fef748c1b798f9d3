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

type Condition = RawBuilder<unknown>

/** The log, newest first. */
export async function listEventLog(db: Kysely<DB>, filter: EventLogFilter) {
  const ids = await selectEntryIds(db, filter)
  if (ids.length === 0) return []
  return db
    .selectFrom('automation_event_log as l')
    .select(COLUMNS)
    .select(writtenColumns)
    .where('tenant_id', '=', filter.tenantId)
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .orderBy('id', 'desc')
    .execute()
}

/**
 * A class of statuses is looked up value by value, each for one page, and a plugin is part of the order, so that rare rows are
 * read by their index and nothing is read in vain: webhook-delivery/log/log-repository.ts says why.
 */
async function selectEntryIds(db: Kysely<DB>, filter: EventLogFilter): Promise<string[]> {
  const statuses = filter.responseStatuses
  const isCommon = statuses !== null && COMMON_STATUSES.some((status) => statuses.includes(status))
  const oneByOne = isCommon ? null : statuses
  const conditions = conditionsOf(filter)
  if (oneByOne !== null) {
    conditions.push(sql`l.response_status = status.value and l.response_status not in (200, 204)`)
  } else if (statuses !== null) {
    conditions.push(sql`l.response_status = any(${statuses}::smallint[])`)
  }
  const { rows } = await sql<{ id: string }>`
    select found.id from unnest(${oneByOne ?? [null]}::smallint[]) as status (value) cross join lateral (
      select l.id from automation_event_log l where ${sql.join(conditions, sql` and `)}
      order by ${filter.plugin === null ? sql`` : sql`l.plugin desc,`} l.id desc limit ${filter.limit}
    ) found
    order by found.id desc limit ${filter.limit}`.execute(db)
  return rows.map(({ id }) => id)
}

/** The usual ends of actions are found by reading the log in order, and are not indexed. */
const COMMON_STATUSES = [200, 204]

function conditionsOf(filter: EventLogFilter): Condition[] {
  const { execution, action, plugin, success, errorCode, attemptsMin, since, until, beforeId } = filter
  const conditions: Condition[] = [sql`l.tenant_id = ${filter.tenantId}`]
  const add = (condition: Condition): void => void conditions.push(condition)
  if (execution !== null) add(sql`l.flow_execution_id = ${execution}`)
  if (action !== null) add(sql`l.action_type = ${action}`)
  if (plugin !== null) add(sql`l.plugin between ${plugin} and ${plugin}`)
  if (success !== null) add(success ? sql`l.success` : sql`not l.success`)
  if (errorCode !== null) add(sql`l.error_code = ${errorCode}`)
  if (attemptsMin !== null) add(sql`l.attempts >= ${attemptsMin}`)
  if (attemptsMin !== null && attemptsMin > 1) add(sql`l.attempts > 1`)
  // Ids are in order of time: where to stop reading, but for the clocks that minted them.
  if (since !== null) {
    add(sql`l.created_at >= ${since} and l.id >= ${lowestIdAt(since.getTime() - ID_CLOCK_SLACK_MS)}`)
  }
  if (until !== null) {
    add(sql`l.created_at < ${until} and l.id < ${lowestIdAt(until.getTime() + ID_CLOCK_SLACK_MS)}`)
  }
  if (beforeId !== null) add(sql`l.id < ${beforeId}`)
  return conditions
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
