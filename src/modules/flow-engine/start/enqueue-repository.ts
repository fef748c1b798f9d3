import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB, TriggerKind } from '#db/schema.ts'
import { lowestIdAt } from '#lib/id-range.ts'

export const CAP_WINDOW_MS = 60_000

/**
 * Executions that a flow has started within a minute, without retries; at most `most` are counted. What events and
 * schedules start counts at their time, however late it is started.
 *
 * @param at the end of the minute
 * @param isLate leaves out what has started after it; else that is only what the hosts' clocks differ by, and counts
 */
export async function countRecentStarts(
  db: Kysely<DB> | Transaction<DB>,
  { tenantId, flowId }: { tenantId: string; flowId: string },
  most: number,
  at: Date,
  isLate = false,
): Promise<number> {
  const until = isLate ? sql`and id < ${lowestIdAt(at.getTime() + 1)}` : sql``
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (
      ${recentStarts(sql`${tenantId}`, sql`${flowId}`, at)} ${until} limit ${most}
    ) recent`.execute(db)
  return rows[0]?.count ?? 0
}

/** Selects what counts against the cap of one flow: a retry is no new start. */
function recentStarts(
  tenantId: RawBuilder<unknown>,
  flowId: RawBuilder<unknown>,
  at: Date,
): RawBuilder<unknown> {
  return sql`
    select from automation_executions
    where tenant_id = ${tenantId} and flow_id = ${flowId} and status <> 'skipped' and retry_of is null
      and id >= ${lowestIdAt(at.getTime() - CAP_WINDOW_MS)}`
}

/** Finds the execution that has started under a start key. `trigger` is the text of the row: what was given to the start. */
export async function findStart(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  flowId: string,
  startKey: string,
): Promise<{ id: string; isSkipped: boolean; reason: string | null; trigger: string } | undefined> {
  const row = await db
    .selectFrom('automation_executions')
    .select(['id', 'status', 'reason', sql<string>`trigger::text`.as('trigger')])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('start_key', '=', startKey)
    .executeTakeFirst()
  if (row === undefined) return undefined
  const isSkipped = row.status === 'skipped'
  return { id: row.id, isSkipped, reason: isSkipped ? row.reason : null, trigger: row.trigger }
}

/** Flows that may not start now, whatever their enrolment says, by id. */
export async function selectRefused(
  db: Kysely<DB> | Transaction<DB>,
  flows: readonly { tenantId: string; flowId: string }[],
  most: number,
  now: Date,
): Promise<Map<string, string>> {
  const { rows } = await sql<{ flow_id: string; reason: string }>`
    select w.flow_id, case when f.status = 'paused' then 'paused' when c.halted_at is not null then 'halted'
      else 'rate_cap' end as reason
    from unnest(${flows.map(({ tenantId }) => tenantId)}::uuid[], ${flows.map(({ flowId }) => flowId)}::uuid[])
      as w (tenant_id, flow_id)
    join automation_flows f on f.tenant_id = w.tenant_id and f.id = w.flow_id
    left join flow_cursors c on c.tenant_id = w.tenant_id
    cross join lateral (
      select count(*) as count from (
        ${recentStarts(sql`w.tenant_id`, sql`w.flow_id`, now)}
        limit ${most}
      ) recent
    ) counted
    where f.status = 'paused' or c.halted_at is not null or counted.count >= ${most}`.execute(db)
  return new Map(rows.map((row) => [row.flow_id, row.reason]))
}

/** The row that a start stores; JSON as text. */
export interface ExecutionRow {
  tenant_id: string
  id: string
  flow_id: string
  version: number
  schema_version: number
  status: 'queued' | 'skipped'
  reason: string | null
  error: string | null
  event_id: string | null
  trigger_kind: TriggerKind
  trigger: string
  key: string | null
  start_key: string | null
  state: string
  due_at: Date | null
  causation_depth: number
  expires_at: Date
  created_at: Date
  finished_at: Date | null
}

/**
 * In columns: a statement with a parameter for each value takes Postgres several times as long to parse as to carry out.
 *
 * @returns those that were not there yet
 */
export async function insertExecutions(
  trx: Transaction<DB>,
  rows: readonly ExecutionRow[],
  now: Date,
): Promise<{ flow_id: string; status: string }[]> {
  const column = <Name extends keyof ExecutionRow>(name: Name): ExecutionRow[Name][] =>
    rows.map((row) => row[name])
  const { rows: inserted } = await sql<{ flow_id: string; status: string }>`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, event_id, key,
      start_key, trigger_kind, trigger, state, due_at, causation_depth, expires_at, created_at, finished_at)
    select s.tenant_id, s.id, s.flow_id, s.version, s.schema_version, s.status, s.reason, s.event_id, s.key,
      s.start_key, s.trigger_kind, s.trigger, s.state, s.due_at, s.causation_depth, s.expires_at, ${now}::timestamptz,
      case when s.status = 'skipped' then ${now}::timestamptz end
    from unnest(${column('tenant_id')}::uuid[], ${column('id')}::uuid[], ${column('flow_id')}::uuid[],
      ${column('version')}::int[], ${column('event_id')}::uuid[], ${column('start_key')}::text[],
      ${column('trigger_kind')}::text[], ${column('trigger')}::json[], ${column('state')}::json[],
      ${column('causation_depth')}::smallint[], ${column('expires_at')}::timestamptz[], ${column('status')}::text[],
      ${column('reason')}::text[], ${column('key')}::text[], ${column('schema_version')}::smallint[],
      ${column('due_at')}::timestamptz[])
      as s (tenant_id, id, flow_id, version, event_id, start_key, trigger_kind, trigger, state, causation_depth,
        expires_at, status, reason, key, schema_version, due_at)
    on conflict do nothing returning flow_id, status`.execute(trx)
  return inserted
}

/** @returns false if there was one already */
export async function insertExecution(trx: Transaction<DB>, row: ExecutionRow): Promise<boolean> {
  const inserted = await trx
    .insertInto('automation_executions')
    .values(row)
    // By flow and event, or by flow and start key.
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  return inserted !== undefined
}
