import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ensureCursor } from '../match/cursor-repository.ts'

/** Told how many executions of a tenant were cancelled at once. */
export type CountCancelled = (count: number, tenantId: string) => void

/**
 * Ends executions that have not ended: at once where they wait, at the next step boundary where they run.
 * @param onEnded told how many ended at once: the others end where they run
 * @returns how many it concerned
 */
export async function cancelExecutions(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
  reason: string,
  onEnded: CountCancelled = () => undefined,
): Promise<number> {
  if (ids.length === 0) return 0
  const { rows } = await sql<{ id: string; status: string }>`
    with chosen as materialized (
      select id from automation_executions
      where tenant_id = ${tenantId} and id = any(${[...ids]}::uuid[]) and status in ('queued', 'waiting', 'running')
      order by id for update
    ), ended as (
      update automation_executions e
      set status = case when e.status = 'running' then e.status else 'cancelled' end,
          reason = case when e.status = 'running' then e.reason else ${reason} end,
          due_at = case when e.status = 'running' then e.due_at end,
          held_by = case when e.status = 'running' then e.held_by end,
          finished_at = case when e.status = 'running' then null else clock_timestamp() end,
          cancel_reason = coalesce(e.cancel_reason, ${reason})
      from chosen where e.tenant_id = ${tenantId} and e.id = chosen.id
      returning e.id, e.status
    ), waits as (
      delete from automation_waits w using ended
      where w.tenant_id = ${tenantId} and w.execution_id = ended.id and ended.status = 'cancelled'
    )
    select id, status from ended`.execute(db)
  const ended = rows.filter(({ status }) => status === 'cancelled').length
  if (ended > 0) onEnded(ended, tenantId)
  return rows.length
}

/** Returns executions that are due and have done nothing yet. */
export async function selectQueued(db: Kysely<DB>, tenantId: string, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('status', '=', 'queued')
    .where('step_count', '=', 0)
    .where('due_at', 'is not', null)
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

/** Nothing starts for the tenant, and what runs is held at its next boundary, until `resumeTenant`. */
export async function haltTenant(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<void> {
  await ensureCursor(db, tenantId)
  await db
    .updateTable('flow_cursors')
    .set({ halted_at: sql<Date>`coalesce(halted_at, now())` })
    .where('tenant_id', '=', tenantId)
    .execute()
}

export async function resumeTenant(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<void> {
  await db.updateTable('flow_cursors').set({ halted_at: null }).where('tenant_id', '=', tenantId).execute()
}
