import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ID_CLOCK_SLACK_MS, LATE_START_MS, lowestIdAt } from '#lib/id-range.ts'

const DAY_MS = 24 * 3_600_000
/** Executions of a flow and day that are looked at. */
const DAY_MAX_EXECUTIONS = 200_000

export interface DayStats {
  started: number
  active: number
  completed: number
  filtered: number
  failed: number
  handled: number
  cancelled: number
  timed_out: number
  skipped: number
  p50_ms: number | null
  p95_ms: number | null
  sampled: boolean
}

/** A flow's executions that were created within 24 hours. */
export async function selectDayStats(
  db: Kysely<DB>,
  tenantId: string,
  flowId: string,
  dayMs: number,
): Promise<DayStats> {
  const from = lowestIdAt(dayMs - LATE_START_MS)
  const to = lowestIdAt(dayMs + DAY_MS + ID_CLOCK_SLACK_MS)
  const { rows } = await sql<DayStats>`
    select count(*) filter (where status <> 'skipped') as started,
      count(*) filter (where status in ('queued', 'running', 'waiting')) as active,
      count(*) filter (where status = 'completed') as completed,
      count(*) filter (where status = 'completed' and reason = 'filtered') as filtered,
      count(*) filter (where status = 'failed') as failed,
      count(*) filter (where status = 'failed' and handled) as handled,
      count(*) filter (where status = 'cancelled') as cancelled,
      count(*) filter (where status = 'timed_out') as timed_out,
      count(*) filter (where status = 'skipped') as skipped,
      round(percentile_cont(0.5) within group (order by ms) filter (where status in ('completed', 'failed')))::bigint as p50_ms,
      round(percentile_cont(0.95) within group (order by ms) filter (where status in ('completed', 'failed')))::bigint as p95_ms,
      count(*) >= ${DAY_MAX_EXECUTIONS} as sampled
    from (
      select status, reason, handled, extract(epoch from finished_at - created_at)::float8 * 1000 as ms
      from automation_executions
      where tenant_id = ${tenantId} and flow_id = ${flowId} and id >= ${from} and id < ${to}
        and created_at >= ${new Date(dayMs)} and created_at < ${new Date(dayMs + DAY_MS)}
      limit ${DAY_MAX_EXECUTIONS}
    ) of_day`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('an aggregate gave no row')
  return row
}

export async function hasFlow(db: Kysely<DB>, tenantId: string, flowId: string): Promise<boolean> {
  const row = await db
    .selectFrom('automation_flows')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}
