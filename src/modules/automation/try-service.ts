import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { isProblem } from '#lib/api/problem.ts'
import { now } from '#lib/clock.ts'
import { redact } from '#lib/secrets/redact.ts'
import { parseTime } from '#lib/time.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import {
  flowInputInvalid,
  flowNotActive,
  flowRunConflict,
  type FlowTest,
  type StartedRun,
} from '#modules/flow/index.ts'
import type { AutomationContext } from './context.ts'
import { type AutomationFields, isOfBooking } from './fields.ts'
import type { AutomationTestResult, TestRequest, TriggerRequest } from './operation-schemas.ts'
import { type RecordData, type RecordRef, subjectOf } from './record.ts'
import { found } from './service.ts'
import { startOf } from './start.ts'
import { isAbout, isGiven, recordOf, startDataOf } from './start-data.ts'
import { isEnabled } from './view.ts'

/**
 * Says what it would do, and does nothing of it.
 * @throws `automation_not_found`, `event_not_found`, `flow_invalid`, `invalid_request`, and as `startDataOf`
 */
export async function testAutomation(
  ctx: AutomationContext,
  actor: Actor,
  { tenantId, id }: TriedAutomation,
  { data, lead_id, booking_id, customer_id, ...request }: TestRequest,
): Promise<AutomationTestResult> {
  const { automation } = await found(ctx, tenantId, id)
  const ref = recordOf(idsOf({ lead_id, booking_id, customer_id }))
  if (request.event_id !== undefined) {
    if (ref !== null) throw unfit(`/${ref.name}`, 'must not be given together with event_id')
    const test = await ctx.flows.test(actor, tenantId, id, { ...request, ...(data && { data }) })
    return resultOf(test, { source: 'event', data: null })
  }
  const nowMs = (request.now === undefined ? null : parseTime(String(request.now))) ?? now()
  const sample = sampleOf(automation, nowMs)
  const start =
    ref === null
      ? {
          source: data === undefined ? ('sample' as const) : ('given' as const),
          data: { ...sample, ...data },
        }
      : await startDataOf(ctx, tenantId, automation, ref, data, sample)
  const test = await ctx.flows.test(actor, tenantId, id, { ...request, data: start.data })
  const isMadeUp = ref !== null && start.source === 'sample'
  return resultOf(test, start, isMadeUp ? [madeUp(ref)] : [])
}

/**
 * Starts it by hand, at once, for one lead, message or booking.
 * @throws `automation_not_found`, `flow_not_active`, `flow_not_manual`, `flow_input_invalid`, `flow_run_conflict`,
 * `invalid_request`, and as `startDataOf`
 */
export async function triggerAutomation(
  ctx: AutomationContext,
  actor: Actor,
  { tenantId, id }: { tenantId: string; id: string },
  { request, key }: { request: TriggerRequest; key: string | null },
): Promise<StartedRun> {
  const row = await found(ctx, tenantId, id)
  const { data, ...ids } = request
  const ref = recordOf(ids)
  if (ref === null) return run(ctx, actor, { tenantId, id }, { input: data ?? {}, key })
  if (!isEnabled(row)) throw flowNotActive()
  const isLookedUp = !isGiven(subjectOf(row.automation.trigger), ref, data)
  const earlier =
    isLookedUp && key !== null ? await earlierRun(ctx, { tenantId, id }, row.automation, ref, key) : null
  if (earlier !== null) return earlier
  const { data: input } = await startDataOf(ctx, tenantId, row.automation, ref, data)
  try {
    return await run(ctx, actor, { tenantId, id }, { input, key })
  } catch (error) {
    if (!isLookedUp || key === null || !isProblem(error, flowRunConflict)) throw error
    // Somebody else came first by the same key, and the record has changed between the two.
    const other = await earlierRun(ctx, { tenantId, id }, row.automation, ref, key)
    if (other === null) throw error
    return other
  }
}

/** Notes who had the shop's automations worked off. */
export async function auditDueWork(
  { db }: Pick<AutomationContext, 'db'>,
  actor: Actor,
  tenantId: string,
): Promise<void> {
  const target = { targetKind: 'tenant', targetId: tenantId }
  await audit(db, actor, { tenantId, action: 'automations.run_due', ...target })
}

interface TriedAutomation {
  tenantId: string
  id: string
}

async function run(
  ctx: AutomationContext,
  actor: Actor,
  { tenantId, id }: TriedAutomation,
  start: { input: RecordData; key: string | null },
): Promise<StartedRun> {
  try {
    return await ctx.flows.run(actor, tenantId, id, start)
  } catch (error) {
    if (!isProblem(error, flowInputInvalid)) throw error
    const errors = (error.errors ?? []).map(({ pointer, detail }) => ({
      pointer: pointer.replace(/^\/input/, '/data'),
      detail,
    }))
    throw flowInputInvalid(undefined, { errors, cause: error })
  }
}

/** The run by this key if it was for the same record, however that has changed since. @throws `flow_run_conflict` */
async function earlierRun(
  ctx: AutomationContext,
  { tenantId, id }: TriedAutomation,
  { trigger }: AutomationFields,
  ref: RecordRef,
  key: string,
): Promise<StartedRun | null> {
  const earlier = await ctx.flows.findRun(tenantId, id, key)
  if (earlier === undefined) return null
  const { execution_id, reason, version, data } = earlier
  if (!isAbout(subjectOf(trigger), ref, data)) throw flowRunConflict()
  return { execution_id, reason, version, status: 'duplicate' }
}

/** Members that are undefined are not given. */
function idsOf(ids: { [Name in RecordRef['name']]: string | number | undefined }) {
  return Object.fromEntries(Object.entries(ids).filter(([, id]) => id !== undefined))
}

function madeUp({ name, id }: RecordRef): string {
  return (
    `There is no platform to ask for ${name} ${id}: all but the id is made up. Give the record's data as \`data\`, ` +
    'or set PLATFORM_URL.'
  )
}

function resultOf(
  test: FlowTest,
  { source, data }: { source: AutomationTestResult['record']['source']; data: unknown },
  notes: string[] = [],
): AutomationTestResult {
  const step = test.steps.find(({ type }) => type === 'message')
  const isWritten = step?.status === 'simulated'
  const { channel, to, subject, body } = (isWritten ? step.output : {}) as Record<
    string,
    string | null | undefined
  >
  const asks_ai = step?.would?.asks_ai ?? false
  return {
    ...test,
    message: isWritten ? { channel, to: to ?? null, subject: subject ?? null, body, asks_ai } : null,
    record: { source, data: redact(data) },
    notes: isWritten ? notes : [...notes, whyNothing(test, step)],
  } as AutomationTestResult
}

function whyNothing({ start, end }: FlowTest, step: FlowTest['steps'][number] | undefined): string {
  if (step?.error != null) return `The message could not be written: ${step.error.message}`
  if (end === null && !start.would_start)
    return `It would not start: ${start.message ?? start.reason ?? 'unknown'}`
  if (end?.error != null) return `It would fail before there is a message: ${end.error.message}`
  return (
    'There would be no message: the person has no address on the channel, the appointment is too near or over, or ' +
    'there is nothing to say. See steps.'
  )
}

function unfit(pointer: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Of the event that starts it; an appointment is so far ahead that there is time for a reminder. */
function sampleOf(fields: AutomationFields, nowMs: number): RecordData {
  const type = startOf(fields, 'end').triggers[0]?.event_types[0]
  const sample = CATALOGUE.get(type ?? '')?.sample as RecordData | undefined
  if (!isOfBooking(fields.trigger)) return { ...sample }
  const startsMs =
    type === 'booking.completed' ? nowMs - HOUR_MS : nowMs + fields.delay_hours * HOUR_MS + DAY_MS
  const at = (ms: number): string => new Date(ms).toISOString()
  return { ...sample, starts_at: at(startsMs), ends_at: at(startsMs + HOUR_MS) }
}
