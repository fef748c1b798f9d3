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
    .select(['id', 'status', 'reason', 'event_id', 'error'])
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

export async function forgetFailures(db: Kysely<DB>, tenantId: string, flowId: string): Promise<void> {
  await db
    .updateTable('automation_flows')
    .set({ consecutive_failures: 0 })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', flowId)
    .where('consecutive_failures', '>', 0)
    .execute()
}

/** A chain is no longer than the depth at which it is cut, and a little for chains that began under another limit. */
const CHAIN_MAX = 16

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
