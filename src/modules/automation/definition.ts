import {
  type Definition,
  bookingVariables,
  bookingZone,
  isAhead,
  isReachable,
  type PersonChannel,
  type Step,
} from '#modules/flow-template/index.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import { crmSteps, crmVariables } from './crm.ts'
import { type AutomationFields, type AutomationTrigger, isOfBooking } from './fields.ts'
import { saySteps } from './message-steps.ts'
import { NEEDED, subjectOf } from './record.ts'
import { type Addresses, addressesOf, type Start, startOf } from './start.ts'

/** Place in the definition, and the field of the automation that stands there, as JSON pointers. */
export type Place = readonly [inDefinition: string, field: string]

export interface BuiltFlow {
  definition: Record<string, unknown>
  places: Place[]
}

const SHOP_NAME = 'Your shop'

/** The flow that an automation is. Pure: the same fields make the same flow. */
export function buildFlow(fields: AutomationFields, enabled: boolean): BuiltFlow {
  const { name, shop_name, time_zone } = fields
  const does = stepsOf(fields)
  const next = does[0]?.id ?? 'end'
  const start = startOf(fields, next)
  const steps = [...whatEventsWaitFor(start, next), ...does]
  const { triggers, places } = withConditions(start.triggers, fields.conditions)
  const variables = bookingVariables({ shop_name: shop_name ?? SHOP_NAME, time_zone: time_zone ?? '' })
  return {
    definition: {
      name,
      description: descriptionOf(fields),
      status: enabled ? 'active' : 'inactive',
      triggers: [...triggers, manualTrigger(fields.trigger, triggers[0]?.event_types[0])],
      variables: { ...variables, ...crmVariables(fields) },
      steps,
      settings: { enrolment: start.enrolment },
    },
    places: [...places, ...steps.flatMap(placesOf)],
  }
}

function descriptionOf({ type, trigger }: AutomationFields): string {
  return `Made of an automation of the CRM: ${type} by ${trigger}.`
}

/** Somebody who starts it by hand means now. */
function whatEventsWaitFor({ waits }: Start, next: string): Step[] {
  const [first] = waits
  if (first === undefined) return []
  const byHand: Step = {
    id: 'started_by_hand',
    type: 'condition',
    condition: { field: 'event.id', operator: 'not_exists' },
    on_true: next,
    on_false: first.id,
  }
  return [byHand, ...waits]
}

/** Makes the steps that it takes when the time has come. */
function stepsOf(fields: AutomationFields): Step[] {
  const { type, trigger } = fields
  const addresses = addressesOf(trigger)
  const does = type === 'crm_update' ? crmSteps(fields, addresses) : saySteps('message', fields, addresses)
  const zone = isOfBooking(trigger) ? [bookingZone(does[0]?.id ?? 'end')] : []
  const steps = [...zone, ...does]
  const checks = checksOf(fields, addresses)
  if (checks.length === 0) return steps
  const condition = checks.length === 1 ? checks[0] : { all: checks }
  const check = { id: 'check', type: 'condition', condition, on_true: steps[0]?.id ?? 'end', on_false: 'end' }
  return [check, ...steps]
}

/** Without which there is nothing to do: an appointment to come, somebody who can be reached. */
function checksOf({ type, trigger, channel }: AutomationFields, addresses: Addresses): object[] {
  const concernsFuture = trigger === 'before_booking' || type === 'booking_confirmation'
  return [
    ...(concernsFuture ? [isAhead] : []),
    ...(channel === 'notification' ? [] : [reachable(channel, trigger, addresses)]),
  ]
}

/** A message is answered on its own channel alone: who wrote from a phone has told no email address. */
function reachable(channel: PersonChannel, trigger: AutomationTrigger, addresses: Addresses): object {
  if (trigger !== 'message_received') return isReachable(channel, addresses)
  const operator = channel === 'email' ? 'contains' : 'not_contains'
  return { field: addresses[channel], operator, value: '@' }
}

function withConditions(
  triggers: Definition['triggers'],
  conditions: object | null,
): { triggers: Definition['triggers']; places: Place[] } {
  const isList = Array.isArray(conditions)
  const condition = isList ? { all: conditions } : conditions
  if (condition === null || Object.keys(condition).length === 0) return { triggers, places: [] }
  if (isList && conditions.length === 0) return { triggers, places: [] }
  return {
    triggers: triggers.map((trigger) => ({
      ...trigger,
      filter: trigger.filter === undefined ? condition : { all: [trigger.filter, condition] },
    })),
    places: triggers.map(({ filter }, index) => [
      `/triggers/${index}/filter${filter === undefined ? '' : '/all/1'}${isList ? '/all' : ''}`,
      '/conditions',
    ]),
  }
}

function placesOf(step: Step, index: number): Place[] {
  const at = `/steps/${index}`
  if (step.type === 'message') {
    return [
      [`${at}/body`, '/template'],
      [`${at}/subject`, '/subject'],
      [`${at}/ai`, '/ai_prompt'],
      [at, '/channel'],
    ]
  }
  if (step.id !== 'action') return []
  return [
    [`${at}/input`, '/action/input'],
    [`${at}/plugin_id`, '/action/plugin_id'],
    [`${at}/action_type`, '/action/action_type'],
    [at, '/action'],
  ]
}

/** The trigger by which somebody starts it: it takes what the event would have told. */
function manualTrigger(trigger: AutomationTrigger, eventType: string | undefined): object {
  const needed = NEEDED[subjectOf(trigger)]
  const schema: SafeSchema = CATALOGUE.get(eventType ?? '')?.schema ?? {}
  return { id: 'by_hand', type: 'manual', input_schema: { ...hintOf(schema, needed), required: [...needed] } }
}

/** The places of members, for templates; the platform's records need not have each in the form that events have it. */
function hintOf({ properties = {} }: SafeSchema, exact: readonly string[]): SafeSchema {
  const hints = Object.entries(properties).map(([name, schema]): [string, SafeSchema] => {
    if (exact.includes(name)) return [name, schema]
    return [name, schema.properties === undefined ? {} : nested(schema)]
  })
  return { type: 'object', properties: Object.fromEntries(hints) }
}

function nested(schema: SafeSchema): SafeSchema {
  const { properties = {} } = hintOf(schema, [])
  return { properties }
}
