import { MESSAGE_CHANNELS, type MessageChannel } from '#lib/flow/index.ts'

export const AUTOMATION_TYPES = [
  'lead_followup',
  'booking_reminder',
  'booking_confirmation',
  'post_session',
  'crm_update',
] as const
export type AutomationType = (typeof AUTOMATION_TYPES)[number]

export const AUTOMATION_TRIGGERS = [
  'new_lead',
  'status_changed',
  'message_received',
  'no_contact',
  'before_booking',
  'after_booking',
] as const
export type AutomationTrigger = (typeof AUTOMATION_TRIGGERS)[number]

export const CHANNELS = MESSAGE_CHANNELS
export type Channel = MessageChannel

/** The triggers that a type may start by. */
export const TRIGGERS_OF: Readonly<Record<AutomationType, readonly AutomationTrigger[]>> = {
  lead_followup: ['new_lead', 'status_changed', 'message_received', 'no_contact'],
  booking_reminder: ['before_booking'],
  booking_confirmation: ['after_booking'],
  post_session: ['after_booking'],
  crm_update: AUTOMATION_TRIGGERS,
}

/** A year. */
export const MAX_DELAY_HOURS = 8_760

/** An action in the CRM, of the platform or of a plugin. */
export interface CrmAction {
  action_type: string
  plugin_id?: string
  /** Templates may stand in it. */
  input: Record<string, unknown>
}

/** An automation as the CRM knows it. What is null has the ready-made value. */
export interface AutomationFields {
  name: string
  type: AutomationType
  trigger: AutomationTrigger
  delay_hours: number
  channel: Channel
  subject: string | null
  template: string | null
  ai_prompt: string | null
  /** A condition, a group of them, or a list that all have to hold. */
  conditions: object | null
  action: CrmAction | null
  shop_name: string | null
  time_zone: string | null
}

export function defaultDelayHours(type: AutomationType, trigger: AutomationTrigger): number {
  if (trigger === 'no_contact') return 72
  return trigger === 'before_booking' || type === 'post_session' ? 24 : 0
}

/** Returns the channel of a type that names none: what a CRM does is told to the team alone. */
export function defaultChannel(type: AutomationType): Channel {
  return type === 'crm_update' ? 'notification' : 'email'
}

export function isOfBooking(trigger: AutomationTrigger): boolean {
  return trigger === 'before_booking' || trigger === 'after_booking'
}
