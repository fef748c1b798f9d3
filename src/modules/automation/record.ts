import { identityText } from '#lib/condition/identity.ts'
import { isRawNumber } from '#lib/json/index.ts'
import { ENTITIES } from '#modules/event/index.ts'
import { type AutomationTrigger, isOfBooking } from './fields.ts'

/** By which an automation is tested and started. */
export const RECORD_IDS = ['lead_id', 'booking_id', 'customer_id'] as const
export type RecordIdName = (typeof RECORD_IDS)[number]
export type RecordData = Record<string, unknown>

/** A record of the platform: which kind, and which one. */
export interface RecordRef {
  name: RecordIdName
  id: string | number
}

/** The kind of record that an automation starts by. */
export type Subject = 'lead' | 'message' | 'booking'

export function subjectOf(trigger: AutomationTrigger): Subject {
  if (trigger === 'message_received') return 'message'
  return isOfBooking(trigger) ? 'booking' : 'lead'
}

/** A message is known by who wrote it, and a booking by itself or by whose it is. */
export const IDS_OF: Readonly<Record<Subject, readonly RecordIdName[]>> = {
  lead: ['lead_id'],
  message: ['lead_id', 'customer_id'],
  booking: ['booking_id', 'customer_id'],
}

/** The id of the subject itself. */
export const OWN_ID = {
  lead: ENTITIES.lead.path,
  message: ENTITIES.message.path,
  booking: ENTITIES.booking.path,
} as const

/** Without which nobody could be told anything. */
export const NEEDED: Readonly<Record<Subject, readonly string[]>> = {
  lead: ['lead_id'],
  message: ['message_id', 'from'],
  booking: ['booking_id', 'starts_at'],
}

export function isRecord(value: unknown): value is RecordData {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)
}

/** The text by which an id is known. Null: there is none. */
export function idText(value: unknown): string | null {
  return typeof value === 'boolean' ? null : identityText(value) || null
}

export function isSameId(one: unknown, other: unknown): boolean {
  return idText(one) !== null && idText(one) === idText(other)
}
