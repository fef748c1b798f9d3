import { invalidRequest } from '#infra/http/problems.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import { type AutomationFields, defaultChannel, defaultDelayHours, TRIGGERS_OF } from './fields.ts'
import type { AutomationInput } from './schemas.ts'

/** The fields with what is left out filled in. @throws `invalid_request` if they do not go together */
export function readFields(given: AutomationInput): AutomationFields {
  const { name, type, trigger } = given
  const fields: AutomationFields = {
    name,
    type,
    trigger,
    delay_hours: given.delay_hours ?? defaultDelayHours(type, trigger),
    channel: given.channel ?? defaultChannel(type),
    subject: given.subject ?? null,
    template: given.template ?? null,
    ai_prompt: given.ai_prompt ?? null,
    conditions: given.conditions ?? null,
    action: given.action ?? null,
    shop_name: given.shop_name ?? null,
    time_zone: given.time_zone ?? null,
  }
  const errors = faultsOf(fields)
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return fields
}

function faultsOf(fields: AutomationFields): FieldError[] {
  const { type, trigger, channel } = fields
  const errors: FieldError[] = []
  const refuse = (field: string, detail: string): void => void errors.push({ pointer: `/${field}`, detail })
  if (!TRIGGERS_OF[type].includes(trigger)) {
    refuse('trigger', `must be one of ${TRIGGERS_OF[type].join(', ')} for the type ${type}`)
  }
  if (fields.delay_hours === 0 && trigger === 'before_booking') {
    refuse('delay_hours', 'must be more than 0: it says how long before the appointment')
  }
  if (fields.delay_hours === 0 && trigger === 'no_contact') {
    refuse('delay_hours', 'must be more than 0: it says how long there was no contact')
  }
  if (type === 'crm_update' && channel !== 'notification') {
    refuse('channel', 'must be notification for the type crm_update, whose messages go to the team')
  }
  if (type !== 'crm_update' && fields.action !== null) {
    refuse('action', 'belongs to the type crm_update: remove it, or change the type')
  }
  if (channel === 'sms' && fields.subject !== null) {
    refuse('subject', 'must be left out for the channel sms: a text message has none')
  }
  if (fields.time_zone !== null && !isTimeZone(fields.time_zone)) {
    refuse('time_zone', 'must be an IANA time zone such as Europe/Lisbon')
  }
  return errors
}
