import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { ScheduleTrigger } from '#lib/flow/types.ts'

export type PlannedSchedule = ScheduleTrigger & { nextFireAt: Date }

export async function deleteSchedulesExcept(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  triggerIds: readonly string[],
): Promise<void> {
  await sql`
    delete from automation_schedules
    where tenant_id = ${tenantId} and flow_id = ${flowId} and trigger_id <> all(${[...triggerIds]}::text[])`.execute(
    trx,
  )
}

/** A schedule that comes due at the same times as before keeps its place. */
export async function upsertSchedules(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  schedules: readonly PlannedSchedule[],
): Promise<void> {
  if (schedules.length === 0) return
  const isSame = sql<boolean>`automation_schedules.cron = excluded.cron and automation_schedules.time_zone = excluded.time_zone`
  await trx
    .insertInto('automation_schedules')
    .values(
      schedules.map(({ id, cron, timezone, catch_up, nextFireAt }) => ({
        tenant_id: tenantId,
        flow_id: flowId,
        trigger_id: id,
        cron,
        time_zone: timezone,
        catch_up,
        next_fire_at: nextFireAt,
        due_at: nextFireAt,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(['tenant_id', 'flow_id', 'trigger_id']).doUpdateSet((eb) => ({
        cron: eb.ref('excluded.cron'),
        time_zone: eb.ref('excluded.time_zone'),
        catch_up: eb.ref('excluded.catch_up'),
        next_fire_at: sql`case when ${isSame} then automation_schedules.next_fire_at else excluded.next_fire_at end`,
        due_at: sql`case when ${isSame} then automation_schedules.due_at else excluded.due_at end`,
      })),
    )
    .execute()
}

export function selectSchedules(db: Kysely<DB>, tenantId: string, flowIds: readonly string[]) {
  return db
    .selectFrom('automation_schedules')
    .select(['flow_id', 'trigger_id', 'next_fire_at', 'last_fired_at'])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', 'in', flowIds)
    .orderBy('trigger_id')
    .execute()
}
