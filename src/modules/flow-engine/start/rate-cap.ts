import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { flowsVersionRaised } from '#infra/tenant-versions.ts'
import { lowestIdAt } from '#lib/id-range.ts'

export const CAP_WINDOW_MS = 60_000
/** A chain is no longer than the depth at which it is cut, and a little for chains that began under another limit. */
const CHAIN_MAX = 16

/**
 * Executions that a flow has started within a minute, without retries; at most `most` are counted. What events and
 * schedules start counts at their time, however late it is started.
 *
 * @param at the end of the minute
 */
export async function countRecentStarts(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  flowId: string,
  most: number,
  at: Date,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (
      ${recentStarts(sql`${tenantId}`, sql`${flowId}`, at)} limit ${most}
    ) recent`.execute(db)
  return rows[0]?.count ?? 0
}

/** What counts against the cap, of one flow: whoever does again what failed does not start anew. */
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

/** Whether the flow is active; it stays so until the transaction ends. */
export async function lockActive(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<boolean> {
  const row = await trx
    .selectFrom('automation_flows')
    .select('status')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    // The start is counted in this row: a shared lock would have two of them wait for one another.
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row?.status === 'active'
}

/** What has started under a start key. `trigger` is the text of the row: what was given to the start. */
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
): Promise<Map<string, 'halted' | 'rate_cap'>> {
  const { rows } = await sql<{ flow_id: string; halted: boolean }>`
    select w.flow_id, c.halted_at is not null as halted
    from unnest(${flows.map(({ tenantId }) => tenantId)}::uuid[], ${flows.map(({ flowId }) => flowId)}::uuid[])
      as w (tenant_id, flow_id)
    left join flow_cursors c on c.tenant_id = w.tenant_id
    cross join lateral (
      select count(*) as count from (
        ${recentStarts(sql`w.tenant_id`, sql`w.flow_id`, now)}
        limit ${most}
      ) recent
    ) counted
    where c.halted_at is not null or counted.count >= ${most}`.execute(db)
  return new Map(rows.map((row) => [row.flow_id, row.halted ? 'halted' : 'rate_cap']))
}

export async function countTriggered(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  started: ReadonlyMap<string, number>,
  now: Date,
): Promise<void> {
  // In the order of their ids: two transactions never wait for one another.
  for (const [flowId, count] of [...started].sort()) {
    if (count === 0) continue
    await db
      .updateTable('automation_flows')
      .set((eb) => ({ times_triggered: eb('times_triggered', '+', count), last_triggered_at: now }))
      .where('tenant_id', '=', tenantId)
      .where('id', '=', flowId)
      .execute()
  }
}

/**
 * Pauses a flow that has started before in the chain of events that led to this one: it triggers itself.
 * @returns whether it has paused it
 */
export async function pauseIfSelfTriggering(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  eventId: string,
): Promise<boolean> {
  const { rows } = await sql<{ tenant_id: string }>`
    with recursive chain (id, causation_id, length) as (
      select id, causation_id, 1 from events where tenant_id = ${tenantId} and id = ${eventId}
      union all
      select e.id, e.causation_id, chain.length + 1 from chain
      join events e on e.tenant_id = ${tenantId} and e.id = chain.causation_id
      where chain.length < ${CHAIN_MAX}
    ), paused as (
      update automation_flows set status = 'paused', status_reason = 'self_triggering', off_since = clock_timestamp()
      where tenant_id = ${tenantId} and id = ${flowId} and status = 'active' and exists (
        select from chain join automation_executions x on x.flow_id = ${flowId} and x.event_id = chain.id
        where x.tenant_id = ${tenantId} and x.status <> 'skipped')
      returning id
    )
    ${flowsVersionRaised(tenantId, sql`exists (select from paused)`)} returning tenant_id`.execute(trx)
  return rows.length > 0
}

/** Pauses a flow that starts for the same thing again and again. @returns whether it has paused it */
export async function pauseRepeating(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
): Promise<boolean> {
  const { rows } = await sql<{ tenant_id: string }>`
    with paused as (
      update automation_flows
      set status = 'paused', status_reason = 'self_triggering', off_since = clock_timestamp()
      where tenant_id = ${tenantId} and id = ${flowId} and status = 'active' returning id
    )
    ${flowsVersionRaised(tenantId, sql`exists (select from paused)`)} returning tenant_id`.execute(trx)
  return rows.length > 0
}
