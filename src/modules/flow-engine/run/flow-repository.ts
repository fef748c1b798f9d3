import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { flowsVersionRaised } from '#infra/tenant-versions.ts'

export async function readFlowName(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<string> {
  const { name } = await trx
    .selectFrom('automation_flows')
    .select('name')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .executeTakeFirstOrThrow()
  return name
}

/** Returns a flow's executions that have failed, or all that have started; the newest first. */
export async function selectLatestExecutions(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  { only, limit }: { only: 'failed' | 'started'; limit: number },
) {
  return trx
    .selectFrom('automation_executions')
    .select(['id', 'status', 'reason', 'event_id', 'causation_depth', 'error'])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('status', only === 'failed' ? '=' : '<>', only === 'failed' ? 'failed' : 'skipped')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

/** Counts one more failure in a row, and pauses an active flow that has so many. @returns whether it has paused it */
export async function countFailure(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  pauseAfter: number,
): Promise<boolean> {
  const { rows } = await sql<{ paused: boolean }>`
    with before as (
      select id, status, consecutive_failures + 1 as failures from automation_flows
      where tenant_id = ${tenantId} and id = ${flowId} for update
    ), counted as (
      update automation_flows f
      set consecutive_failures = b.failures,
          status = case when b.status = 'active' and b.failures >= ${pauseAfter} then 'paused' else b.status end,
          status_reason = case when b.status = 'active' and b.failures >= ${pauseAfter} then 'failing' else f.status_reason end,
          off_since = case when b.status = 'active' and b.failures >= ${pauseAfter} then clock_timestamp() else f.off_since end
      from before b where f.tenant_id = ${tenantId} and f.id = b.id
      returning f.status, b.status as previous
    )
    select status = 'paused' and previous = 'active' as paused from counted`.execute(trx)
  return rows[0]?.paused === true
}

/** @returns whether it was told that the flow is failing, and not yet that it has recovered */
export async function forgetFailures(db: Kysely<DB>, tenantId: string, flowId: string): Promise<boolean> {
  const row = await db
    .updateTable('automation_flows')
    .set({ consecutive_failures: 0 })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .where((eb) => eb.or([eb('consecutive_failures', '>', 0), eb('failing_since', 'is not', null)]))
    .returning('failing_since')
    .executeTakeFirst()
  return row !== undefined && row.failing_since !== null
}

/** Executions that are left out stand between the others: so many are looked through at most. */
const LOOKED_THROUGH_MAX = 100

export interface LatestEnds {
  failed: number
  of: number
  well: number
}

/**
 * How a flow's executions went that ended last: how many there are, how many of them have failed, and how many have ended well
 * since the last that failed. A failure that an error handler dealt with or that the flow asked for is none. Those that an
 * event of `apart` has started are left out.
 */
export async function readLatestEnds(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  flowId: string,
  { limit, apart }: { limit: number; apart: readonly string[] },
): Promise<LatestEnds> {
  const { rows } = await sql<LatestEnds>`
    select count(*) filter (where has_failed)::int as failed, count(*)::int as of,
      coalesce(min(nth) filter (where has_failed) - 1, count(*))::int as well
    from (
      select x.status = 'failed' and not x.handled and x.reason is distinct from 'stopped' as has_failed,
        row_number() over (order by x.finished_at desc, x.id desc) as nth
      from (
        select id, status, handled, reason, event_id, finished_at from automation_executions
        where tenant_id = ${tenantId} and flow_id = ${flowId} and status in ('completed', 'failed')
        order by finished_at desc, id desc limit ${LOOKED_THROUGH_MAX}
      ) x
      left join events e on e.tenant_id = ${tenantId} and e.id = x.event_id
      where e.event is null or e.event <> all(${[...apart]}::text[])
      order by nth limit ${limit}
    ) latest`.execute(db)
  return rows[0] ?? { failed: 0, of: 0, well: 0 }
}

/** Notes that it is told that an active flow is failing. @returns false if it was, or the flow is not active */
export async function markFailing(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<boolean> {
  const changed = await trx
    .updateTable('automation_flows')
    .set({ failing_since: sql<Date>`clock_timestamp()` })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .where('status', '=', 'active')
    .where('failing_since', 'is', null)
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}

/** Notes that it is told that a flow has recovered. @returns since when it was failing; null: it was not */
export async function markRecovered(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
): Promise<Date | null> {
  const { rows } = await sql<{ since: Date }>`
    with told as (
      select id, failing_since from automation_flows
      where tenant_id = ${tenantId} and id = ${flowId} and failing_since is not null for update
    )
    update automation_flows f set failing_since = null from told
    where f.tenant_id = ${tenantId} and f.id = told.id
    returning told.failing_since as since`.execute(trx)
  return rows[0]?.since ?? null
}

/** A chain is no longer than the depth at which it is cut, and a little for chains that began under another limit. */
const CHAIN_MAX = 16

/** Tells whether the flow is active; it stays so until the transaction ends. */
export async function lockForStart(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
): Promise<'paused' | 'not_active' | null> {
  const row = await trx
    .selectFrom('automation_flows')
    .select('status')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    // The start is counted in this row: a shared lock would have two of them wait for one another.
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row?.status === 'active') return null
  return row?.status === 'paused' ? 'paused' : 'not_active'
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
