import { readJson, type Schema } from '../../api/client.ts'
import type { Channel, Trigger, Type } from './labels.ts'

type Automation = Schema['Automation']

/** What the form of an automation holds: what is empty is left to what is ready-made. */
export interface AutomationForm {
  name: string
  type: Type
  trigger: Trigger
  delay: string
  channel: Channel
  subject: string
  template: string
  prompt: string
  conditions: string
  actionType: string
  actionPlugin: string
  actionInput: string
  shop: string
  zone: string
}

export function formOf(automation: Automation | null): AutomationForm {
  const written = (value: unknown): string => (value == null ? '' : JSON.stringify(value, null, 2))
  return {
    name: automation?.name ?? '',
    type: automation?.type ?? 'lead_followup',
    trigger: automation?.trigger ?? 'new_lead',
    delay: automation === null ? '' : String(automation.delay_hours),
    channel: automation?.channel ?? 'email',
    subject: automation?.subject ?? '',
    template: automation?.template ?? '',
    prompt: automation?.ai_prompt ?? '',
    conditions: written(automation?.conditions),
    actionType: automation?.action?.action_type ?? '',
    actionPlugin: automation?.action?.plugin_id ?? '',
    actionInput: written(automation?.action?.input),
    shop: automation?.shop_name ?? '',
    zone: automation?.time_zone ?? '',
  }
}

/** What updates the CRM writes to the team alone. */
export function channelOf({ type, channel }: AutomationForm): Channel {
  return type === 'crm_update' ? 'notification' : channel
}

function actionOf({ type, actionType, actionPlugin, actionInput }: AutomationForm): Automation['action'] {
  if (type !== 'crm_update' || actionType.trim() === '') return null
  return {
    action_type: actionType.trim(),
    ...(actionPlugin.trim() !== '' && { plugin_id: actionPlugin.trim() }),
    input: (actionInput.trim() === '' ? {} : readJson(actionInput)) as Record<string, never>,
  }
}

/** What the API takes of it. What is null takes away what was there before. */
export function bodyOf(form: AutomationForm): Schema['AutomationInput'] {
  const text = (value: string): string | null => (value.trim() === '' ? null : value)
  const channel = channelOf(form)
  return {
    name: form.name.trim(),
    type: form.type,
    trigger: form.trigger,
    ...(form.delay.trim() !== '' && { delay_hours: Number(form.delay) }),
    channel,
    subject: channel === 'sms' ? null : text(form.subject),
    template: text(form.template),
    ai_prompt: text(form.prompt),
    conditions: form.conditions.trim() === '' ? null : (readJson(form.conditions) as Record<string, never>),
    action: actionOf(form),
    shop_name: text(form.shop),
    time_zone: text(form.zone),
  }
}
