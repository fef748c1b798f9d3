import { sql } from 'kysely'
import type { Trigger } from '#lib/flow/types.ts'
import type { Firer } from '#modules/flow-trigger/firer.ts'
import { DAY_MS, flowOf, type Shop, wait, type World } from '#test/modules/flow-engine/support.ts'
import type { FlowSettings } from '#lib/flow/types.ts'

/** A flow with these triggers that waits for a day; it is active, and its schedules count from `since`. */
export async function activate(
  world: World,
  shop: Shop,
  triggers: Trigger[],
  since: Date,
  rest: { settings?: FlowSettings; id?: string } = {},
): Promise<string> {
  const { settings, id } = rest
  const flow = flowOf({ later: wait(DAY_MS, 'end') }, { triggers, ...(settings && { settings }) })
  const flowId = await shop.publish(flow, id)
  await sync(world, shop, flowId, triggers, since)
  return flowId
}

export async function sync(
  { app, db }: World,
  shop: Shop,
  flowId: string,
  triggers: Trigger[],
  now: Date,
): Promise<void> {
  await db.transaction().execute((trx) => app.flowTriggers.sync(trx, shop.tenant.id, flowId, triggers, now))
}

export function schedule(
  cron: string,
  rest: { timezone?: string; catch_up?: 'skip' | 'once'; id?: string } = {},
): Trigger {
  return {
    id: rest.id ?? 'trigger_1',
    type: 'schedule',
    cron,
    timezone: rest.timezone ?? 'UTC',
    catch_up: rest.catch_up ?? 'skip',
  }
}

/** Passes until nothing is due. @returns how many firings were dealt with */
export async function fireAll(firer: Firer, now: Date): Promise<number> {
  let total = 0
  for (;;) {
    const { result, dealtWith } = await firer.pass(now)
    total += dealtWith
    if (result === 'idle') return total
  }
}

export interface Fired {
  scheduled_at: string
  fired_at: string
  missed: number
}

/** The trigger data of the flow's executions, in the order of their firings. */
export async function firings(shop: Shop, flowId: string): Promise<Fired[]> {
  const executions = await shop.executions(flowId)
  return executions
    .map(({ trigger }) => (trigger as { data: Fired }).data)
    .sort((a, b) => a.fired_at.localeCompare(b.fired_at))
}

export async function setStatus(
  shop: Shop,
  flowId: string,
  status: 'active' | 'inactive' | 'paused',
): Promise<void> {
  await sql`update automation_flows set status = ${status} where id = ${flowId}`.execute(shop.db)
}
