import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, ExecutionStatus } from '#db/schema.ts'
import { ID_CLOCK_SLACK_MS, idsBeginningWith, LATE_START_MS, lowestIdAt } from '#lib/id-range.ts'
import type { ExecutionDetail } from './schemas.ts'

export interface ExecutionFilter {
  flowId: string | null
  /** Null: any. */
  statuses: readonly ExecutionStatus[] | null
  key: string | null
  since: Date | null
  until: Date | null
}

/** The filter that the list alone has. */
export interface ListFilter {
  reason: string | null
  errorCode: string | null
  eventId: string | null
  /** The beginning of its id or its key. */
  text: string | null
}

const COMMON_REASONS: readonly string[] = ['done', 'delay', 'event', 'retry', 'completion']

export type ExecutionRow = Awaited<ReturnType<typeof selectExecutions>>[number]

/**
 * Newest first. Statuses are looked up one by one, each for one page: an index gives rows in order of id only for one of
 * them.
 */
export async function selectExecutions(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter & ListFilter,
  page: { before: string | null; limit: number },
) {
  const { statuses, text } = filter
  const found = text === null ? null : await idsFound(db, tenantId, text)
  const [first = null, ...others] = statuses?.map((status) => [status]) ?? []
  const idsOf = (each: ExecutionFilter['statuses']) =>
    listed(db, tenantId, { ...filter, statuses: each }, page)
      .$if(text !== null, (query) => query.where(begins(text ?? '', found)))
      .select('e.id')
      .orderBy('e.id', 'desc')
      .limit(page.limit)
  const ids = others.reduce(
    (union, each) => union.unionAll(db.selectFrom(idsOf(each).as('more')).select('more.id')),
    db.selectFrom(idsOf(first).as('first')).select('first.id'),
  )
  return db
    .selectFrom('automation_executions as e')
    .leftJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'e.tenant_id').onRef('f.id', '=', 'e.flow_id'),
    )
    .select(COLUMNS)
    .select('f.name as flow_name')
    .where('e.tenant_id', '=', tenantId)
    .where('e.id', 'in', ids)
    .orderBy('e.id', 'desc')
    .limit(page.limit)
    .execute()
}

function listed(
  db: Kysely<DB>,
  tenantId: string,
  filter: ExecutionFilter & ListFilter,
  { before }: { before: string | null },
) {
  const { reason, errorCode, eventId } = filter
  return (
    chosen(db, tenantId, filter)
      .$if(reason !== null, (query) => query.where('e.reason', '=', reason))
      // Says that the index of the reasons that are not everybody's will do.
      .$if(reason !== null && !COMMON_REASONS.includes(reason), (query) =>
        query.where(sql<boolean>`e.reason not in ('done', 'delay', 'event', 'retry', 'completion')`),
      )
      .$if(errorCode !== null, (query) =>
        query.where(sql<boolean>`e.error is not null and e.error->>'code' = ${errorCode}`),
      )
      // By flow, as the index of what events have started is; a retry has its own page.
      .$if(eventId !== null, (query) =>
        query
          .where('e.event_id', '=', eventId)
          .where('e.retry_of', 'is', null)
          .where('e.flow_id', 'in', (eb) =>
            eb
              .selectFrom('automation_flows as owner')
              .select('owner.id')
              .where('owner.tenant_id', '=', tenantId),
          ),
      )
      .$if(before !== null, (query) => query.where('e.id', '<', before))
  )
}

/** Executions of one search that are looked up one by one; beyond that the log is read in order. */
const MAX_FOUND = 1_000

/** Those whose key begins with the text; null: too many. */
async function idsFound(db: Kysely<DB>, tenantId: string, text: string): Promise<string[] | null> {
  const { rows } = await sql<{ id: string }>`
    select id from automation_executions
    where tenant_id = ${tenantId} and key >= ${text} and key < ${text} || chr(1114111)
    limit ${MAX_FOUND + 1}`.execute(db)
  return rows.length > MAX_FOUND ? null : rows.map(({ id }) => id)
}

function begins(text: string, found: readonly string[] | null) {
  const range = idsBeginningWith(text)
  const byKey = found === null ? sql`starts_with(e.key, ${text})` : sql`e.id = any(${found}::uuid[])`
  return range === null
    ? sql<boolean>`${byKey}`
    : sql<boolean>`(e.id between ${range.from} and ${range.to} or ${byKey})`
}

export type ExecutionDetailRow = NonNullable<Awaited<ReturnType<typeof findExecution>>>

export async function findExecution(db: Kysely<DB> | Transaction<DB>, tenantId: string, id: string) {
  return db
    .selectFrom('automation_executions as e')
    .leftJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'e.tenant_id').onRef('f.id', '=', 'e.flow_id'),
    )
    .select(COLUMNS)
    .select(['f.name as flow_name', 'e.trigger', 'e.state', 'e.expires_at', 'e.body_gone'])
    .where('e.tenant_id', '=', tenantId)
    .where('e.id', '=', id)
    .executeTakeFirst()
}

/** Event types that an execution waits for, each once. */
export async function selectWaits(db: Kysely<DB> | Transaction<DB>, tenantId: string, executionId: string) {
  return db
    .selectFrom('automation_waits')
    .select(['purpose', 'iteration', 'event'])
    .distinct()
    .where('tenant_id', '=', tenantId)
    .where('execution_id', '=', executionId)
    .orderBy('event')
    .execute()
}

/** Events with which the filters of an execution's waits could not be tested. */
export async function selectPassedOver(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  executionId: string,
): Promise<ExecutionDetail['passed_over']> {
  const { rows } = await sql<Awaited<ReturnType<typeof selectPassedOver>>[number]>`
    select distinct event, iteration, passed_over->>'event_id' as event_id, passed_over->>'reason' as reason,
      nullif(passed_over->>'message', '') as message
    from automation_waits
    where tenant_id = ${tenantId} and execution_id = ${executionId} and passed_over is not null
    order by iteration, event`.execute(db)
  return rows
}

const RETRIES_MAX = 20

export async function selectRetries(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  executionId: string,
): Promise<string[]> {
  const rows = await db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('retry_of', '=', executionId)
    .orderBy('id', 'desc')
    .limit(RETRIES_MAX)
    .execute()
  return rows.map(({ id }) => id)
}

/** The tenant's executions that a filter chooses. */
export function chosen(db: Kysely<DB> | Transaction<DB>, tenantId: string, filter: ExecutionFilter) {
  const { flowId, statuses, key, since, until } = filter
  let query = db.selectFrom('automation_executions as e').where('e.tenant_id', '=', tenantId)
  if (flowId !== null) query = query.where('e.flow_id', '=', flowId)
  if (key !== null) query = query.where('e.key', '=', key)
  if (statuses !== null) query = query.where('e.status', 'in', [...statuses])
  // What has not ended is found by the queue's index, too.
  if (statuses?.every(isActive) === true) query = query.where('e.due_at', 'is not', null)
  if (since !== null) {
    const from = lowestIdAt(since.getTime() - LATE_START_MS)
    query = query.where('e.created_at', '>=', since).where('e.id', '>=', from)
  }
  if (until !== null) {
    const to = lowestIdAt(until.getTime() + ID_CLOCK_SLACK_MS)
    query = query.where('e.created_at', '<', until).where('e.id', '<', to)
  }
  return query
}

export function isActive(status: ExecutionStatus): boolean {
  return ACTIVE.includes(status)
}

const ACTIVE: readonly ExecutionStatus[] = ['queued', 'running', 'waiting']

const COLUMNS = [
  'e.id',
  'e.flow_id',
  'e.version',
  'e.status',
  'e.reason',
  'e.handled',
  'e.trigger_kind',
  'e.event_id',
  'e.key',
  'e.retry_of',
  'e.step_count',
  'e.carried_steps',
  'e.cancel_reason',
  'e.held_by',
  'e.error',
  'e.created_at',
  'e.started_at',
  'e.finished_at',
] as const

/** The heads of several executions, of any tenants. */
export async function selectWatched(
  db: Kysely<DB>,
  watched: readonly { tenantId: string; executionId: string }[],
): Promise<ExecutionRow[]> {
  const tenants = watched.map(({ tenantId }) => tenantId)
  const ids = watched.map(({ executionId }) => executionId)
  return db
    .selectFrom('automation_executions as e')
    .innerJoin(
      sql<{ tenant_id: string; id: string }>`
        (select distinct * from unnest(${tenants}::uuid[], ${ids}::uuid[]) as u (tenant_id, id))`.as('w'),
      (join) => join.onRef('w.tenant_id', '=', 'e.tenant_id').onRef('w.id', '=', 'e.id'),
    )
    .leftJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'e.tenant_id').onRef('f.id', '=', 'e.flow_id'),
    )
    .select(COLUMNS)
    .select('f.name as flow_name')
    .execute()
}
