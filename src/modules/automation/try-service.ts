import type { Actor } from '../../infra/auth.ts'
import { parseTime } from '../../lib/time.ts'
import { CATALOGUE } from '../event/index.ts'
import type { FlowTest, StartedRun } from '../flow/index.ts'
import type { AutomationContext } from './context.ts'
import { type AutomationFields, isOfBooking } from './fields.ts'
import type { TestRequest } from './operation-schemas.ts'
import { found } from './service.ts'
import { startOf } from './start.ts'

/** What it would do. @throws `automation_not_found`, `event_not_found`, `flow_invalid`, `invalid_request` */
export async function testAutomation(
  ctx: AutomationContext,
  tenantId: string,
  id: string,
  { data, ...request }: TestRequest,
): Promise<FlowTest> {
  const { automation } = await found(ctx, tenantId, id)
  if (request.event_id !== undefined)
    return ctx.flows.test(tenantId, id, { ...request, ...(data && { data }) })
  const nowMs = (request.now === undefined ? null : parseTime(String(request.now))) ?? Date.now()
  return ctx.flows.test(tenantId, id, { ...request, data: { ...sampleOf(automation, nowMs), ...data } })
}

/**
 * Starts it by hand, at once, for one lead, message or booking.
 * @throws `automation_not_found`, `flow_not_active`, `flow_not_manual`, `flow_input_invalid`, `flow_run_conflict`
 */
export async function triggerAutomation(
  ctx: AutomationContext,
  actor: Actor,
  { tenantId, id }: { tenantId: string; id: string },
  start: { input: Record<string, unknown>; key: string | null },
): Promise<StartedRun> {
  await found(ctx, tenantId, id)
  return ctx.flows.run(actor, tenantId, id, start)
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Of the event that starts it; an appointment is so far ahead that there is time for a reminder. */
function sampleOf(fields: AutomationFields, nowMs: number): Record<string, unknown> {
  const type = startOf(fields, 'end').triggers[0]?.event_types[0]
  const sample = CATALOGUE.get(type ?? '')?.sample as Record<string, unknown> | undefined
  if (!isOfBooking(fields.trigger)) return { ...sample }
  const startsMs =
    type === 'booking.completed' ? nowMs - HOUR_MS : nowMs + fields.delay_hours * HOUR_MS + DAY_MS
  const at = (ms: number): string => new Date(ms).toISOString()
  return { ...sample, starts_at: at(startsMs), ends_at: at(startsMs + HOUR_MS) }
}
