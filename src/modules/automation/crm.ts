import { type Definition, defineFlow, type Step } from '#modules/flow-template/index.ts'
import { type AutomationFields, isOfBooking } from './fields.ts'
import { saySteps } from './message-steps.ts'
import type { Addresses } from './start.ts'

/** The step with which the team is told; the ready-made flow calls its own so, too. */
const TELL_TEAM = 'tell_team'

/**
 * Makes the steps of a CRM update: its action, or the ready-made one of its trigger; then the team is told, if there is
 * something to say.
 */
export function crmSteps(fields: AutomationFields, addresses: Addresses): Step[] {
  const isSaid = fields.template !== null || fields.ai_prompt !== null
  const said = isSaid ? saySteps(TELL_TEAM, fields, addresses) : []
  if (isReadyMade(fields)) {
    // Said as automations say it: who starts it by hand need not know the status before.
    const tell = saySteps(TELL_TEAM, fields, addresses)
    return [...readyMade().steps.filter(({ id }) => id !== TELL_TEAM), ...tell]
  }
  const { action_type, plugin_id, input } = fields.action ?? {
    action_type: 'create_task',
    plugin_id: 'platform',
    input: { title: taskTitle(fields) },
  }
  const action: Step = {
    id: 'action',
    type: 'action',
    ...(plugin_id !== undefined && { plugin_id }),
    action_type,
    input,
    on_success: isSaid ? TELL_TEAM : 'end',
  }
  return [action, ...said]
}

export function crmVariables(fields: AutomationFields): Record<string, unknown> {
  return fields.type === 'crm_update' && isReadyMade(fields) ? { ...readyMade().variables } : {}
}

function isReadyMade({ trigger, action }: AutomationFields): boolean {
  return trigger === 'status_changed' && action === null
}

function readyMade(): Definition {
  return defineFlow('crm_update', {}) as unknown as Definition
}

function taskTitle({ trigger }: AutomationFields): string {
  if (trigger === 'message_received') return 'Answer {{trigger.from}}'
  if (isOfBooking(trigger)) return 'Appointment with {{trigger.customer.name | default: "a customer"}}'
  return 'Look after {{trigger.name | default: trigger.lead_id}}'
}
