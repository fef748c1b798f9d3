import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowScope } from '#lib/flow/scope.ts'
import type { Trigger } from '#lib/flow/types.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { decideEnrolment, enrolmentKey } from '../start/enrolment.ts'
import { hasStarted } from '../start/enrolment-repository.ts'
import { StepError } from '../run/evaluate.ts'
import type { Program } from '../run/program.ts'
import type { SimulationRequest, StartReport } from './types.ts'
import { awaited } from './waits.ts'
import { loadSegments, MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import { filterRefusal, triggerRefusal } from '../start/trigger.ts'

interface Refusal {
  reason: string
  message: string | null
}

/** Says whether the flow would start, by the rules of a start; nothing starts, and nobody makes way. */
export async function reportStart(
  db: Kysely<DB>,
  request: SimulationRequest,
  program: Program,
  scope: FlowScope,
): Promise<StartReport> {
  const { tenantId, flowId, now } = request
  const report: StartReport = {
    would_start: true,
    reason: null,
    message: null,
    trigger: null,
    key: null,
    would_restart: [],
    cancel_on: [],
    already_started: false,
  }
  const refuse = ({ reason, message }: Refusal): void => {
    if (report.would_start) Object.assign(report, { would_start: false, reason, message })
  }
  const isOwn =
    scope.event === null ||
    (await loadSegments(db, tenantId)).isSpokenBy(scope.event.type, scope.event.source)
  const met = meetTrigger(request, program, scope, isOwn)
  if ('reason' in met) refuse(met)
  else report.trigger = met.id
  try {
    report.key = enrolmentKey(program, scope, now)
    report.cancel_on = awaited(program, program.flow.settings.enrolment.cancel_on, scope, now)
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    refuse({ reason: error.code, message: error.message })
  }
  if (request.trigger.causationDepth > MAX_CAUSATION_DEPTH) {
    refuse({
      reason: 'causation_depth',
      message: `More than ${MAX_CAUSATION_DEPTH} automations led to the event.`,
    })
  }
  if (flowId === null) return report
  const eventId = request.trigger.event?.id
  report.already_started = eventId !== undefined && (await hasStarted(db, { tenantId, flowId, eventId }))
  if (report.key === null || report.already_started) return report
  const { reason, restarts } = await decideEnrolment(db, { tenantId, flowId, program, now }, report.key)
  report.would_restart = restarts
  if (reason !== null) refuse({ reason, message: ENROLMENT_MESSAGES[reason] })
  return report
}

const ENROLMENT_MESSAGES = {
  already_active: 'An execution under the same key is under way.',
  reentered_too_soon: 'An execution under the same key started too short a while ago.',
}

/** Returns the trigger that lets it start, or why none of those that count does: what came closest says why. */
function meetTrigger(
  { trigger: given, now }: SimulationRequest,
  program: Program,
  scope: FlowScope,
  isOwn: boolean,
): { id: string } | Refusal {
  const refusals: Refusal[] = []
  for (const trigger of program.flow.triggers) {
    if (trigger.type !== given.kind || (given.id !== null && given.id !== trigger.id)) continue
    const refusal = refusalOf(trigger, program, scope, isOwn, now)
    if (refusal === null) return { id: trigger.id }
    refusals.push(refusal)
  }
  refusals.sort((a, b) => CLOSENESS.indexOf(a.reason) - CLOSENESS.indexOf(b.reason))
  return refusals[0] ?? { reason: 'no_trigger', message: `The flow has no such ${given.kind} trigger.` }
}

const CLOSENESS = ['filter_budget', 'filter', 'input', 'source', 'event_type']
const TRIGGER_MESSAGES = {
  filter: 'The trigger’s filter is not met.',
  filter_budget: 'The trigger’s filter costs too much work on this data.',
  source: 'The trigger takes events of another source.',
  event_type: 'The trigger takes events of other types.',
}

function refusalOf(
  trigger: Trigger,
  program: Program,
  scope: FlowScope,
  isOwn: boolean,
  now: Date,
): Refusal | null {
  switch (trigger.type) {
    case 'event': {
      if (scope.event === null) return { reason: 'event_type', message: TRIGGER_MESSAGES.event_type }
      const refusal = triggerRefusal(program, trigger, scope.event, isOwn, () => scope, now)
      return refusal && { reason: refusal.reason, message: refusal.note ?? TRIGGER_MESSAGES[refusal.reason] }
    }
    case 'webhook': {
      if (trigger.filter === null) return null
      const refusal = filterRefusal(program, trigger.filter, scope, now)
      return refusal && { reason: refusal.reason, message: refusal.note ?? TRIGGER_MESSAGES.filter }
    }
    case 'manual': {
      const [violation] = trigger.input_schema === null ? [] : validate(trigger.input_schema, scope.trigger)
      if (violation === undefined) return null
      return { reason: 'input', message: `${violation.pointer || '/'}: ${violation.detail}` }
    }
    case 'schedule':
      return null
  }
}
