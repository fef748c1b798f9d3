import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB, TriggerKind } from '#db/schema.ts'
import type { StoredTrigger } from '../run/scope.ts'

/** Why a start was missed, as its row says. */
export type MissedReason = 'paused' | 'not_active' | 'halted'

export interface MissedFilter {
  tenantId: string
  /** Null: of all flows that are active. */
  flowId: string | null
  reasons: readonly MissedReason[]
  /** The time at which they were missed. */
  since: Date | null
  until: Date | null
}

/** Marked at once: some 20 µs each, while no event of the tenant is matched. */
const MARKED_MAX = 50_000

/** Starts that wait to be taken up, at most `MARKED_MAX` of them. */
export async function countMissed(db: Kysely<DB> | Transaction<DB>, filter: MissedFilter): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (${missed(filter)} limit ${MARKED_MAX}) missed`.execute(db)
  return rows[0]?.count ?? 0
}

/**
 * Marks missed starts to be taken up by the matcher, before it lets anything newer start. The oldest come first; what
 * is beyond `MARKED_MAX` is left to another call. The caller holds the tenant's cursor.
 * @returns how many
 */
export async function markMissed(trx: Transaction<DB>, filter: MissedFilter): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with chosen as materialized (
      ${missed(filter)} order by coalesce(e.event_id, e.id) limit ${MARKED_MAX} for update of e
    ), marked as (
      update automation_executions e set status = 'skipped', reason = 'catch_up', cancel_reason = null
      from chosen where e.tenant_id = ${filter.tenantId} and e.id = chosen.id returning e.id
    ), told as (
      update flow_cursors set catch_up = true
      where tenant_id = ${filter.tenantId} and exists (select from marked)
    )
    select count(*) as count from marked`.execute(trx)
  return rows[0]?.count ?? 0
}

/** Selects what was missed: not what a person has retried by hand, nor what has lost its trigger and cannot be made good. */
function missed({ tenantId, flowId, reasons, since, until }: MissedFilter): RawBuilder<unknown> {
  return sql`
    select e.id from automation_executions e
    where e.tenant_id = ${tenantId}
      and ((e.status = 'skipped' and e.reason in ('paused', 'not_active', 'halted'))
        or (e.status = 'cancelled' and e.reason = 'halted'))
      and e.reason = any(${[...reasons]}::text[])
      and ${
        flowId === null
          ? sql`e.flow_id in (select f.id from automation_flows f where f.tenant_id = ${tenantId}
              and f.status = 'active' and f.deleted_at is null)`
          : sql`e.flow_id = ${flowId}`
      }
      and (${since}::timestamptz is null or e.finished_at >= ${since}::timestamptz)
      and (${until}::timestamptz is null or e.finished_at < ${until}::timestamptz)
      and (e.trigger_kind in ('event', 'webhook') or (e.trigger_kind = 'schedule' and ${isLastFiring()}))
      and e.body_gone is null and e.step_count = 0
      and not exists (select from automation_executions r where r.tenant_id = e.tenant_id and r.retry_of = e.id)`
}

/** Of a schedule that makes up for what it has missed once, the last firing stands for those before it. */
function isLastFiring(): RawBuilder<boolean> {
  const isOf = (execution: string): RawBuilder<unknown> =>
    sql`starts_with(${sql.ref(`${execution}.start_key`)}, 'schedule ' || s.trigger_id || ' ')`
  return sql`exists (
    select from automation_schedules s
    where s.tenant_id = e.tenant_id and s.flow_id = e.flow_id and s.catch_up = 'once' and ${isOf('e')}
      and not exists (
        select from automation_executions n
        where n.tenant_id = e.tenant_id and n.flow_id = e.flow_id and n.id > e.id and n.trigger_kind = 'schedule'
          and ${isOf('n')}))`
}

/** Tells whether nothing of a flow is left of what was marked. */
export async function isCaughtUp(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<boolean> {
  const marked = await trx
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('status', '=', 'skipped')
    .where('reason', '=', 'catch_up')
    .limit(1)
    .executeTakeFirst()
  return marked === undefined
}

/** All that was marked has been gone through. */
export async function endCatchUp(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await trx.updateTable('flow_cursors').set({ catch_up: false }).where('tenant_id', '=', tenantId).execute()
}

export interface MissedRow {
  id: string
  flow_id: string
  trigger_kind: TriggerKind
  trigger: StoredTrigger
  start_key: string | null
  causation_depth: number
}

/** Returns the marked starts that come next, in the order of their events, and locks them. */
export async function lockMarked(
  trx: Transaction<DB>,
  tenantId: string,
  limit: number,
): Promise<MissedRow[]> {
  const { rows } = await sql<MissedRow>`
    select id, flow_id, trigger_kind, trigger, start_key, causation_depth from automation_executions
    where tenant_id = ${tenantId} and status = 'skipped' and reason = 'catch_up'
    order by coalesce(event_id, id) limit ${limit} for update`.execute(trx)
  return rows
}

export async function queueMissed(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  start: {
    version: number
    schemaVersion: number
    key: string | null
    state: string
    now: Date
    expiresAt: Date
  },
): Promise<void> {
  const { version, schemaVersion, key, state, now, expiresAt } = start
  await trx
    .updateTable('automation_executions')
    .set({
      version,
      schema_version: schemaVersion,
      status: 'queued',
      reason: null,
      error: null,
      key,
      state,
      due_at: now,
      finished_at: null,
      expires_at: expiresAt,
    })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .execute()
}

export async function leaveMissed(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  { reason, error }: { reason: string; error: object | null },
): Promise<void> {
  await trx
    .updateTable('automation_executions')
    .set({ reason, error: error === null ? null : JSON.stringify(error) })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .execute()
}
