import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

export type Type = Schema['Automation']['type']
export type Trigger = Schema['Automation']['trigger']
export type Channel = Schema['Automation']['channel']

export const types = words({
  en: {
    lead_followup: 'Follow up a lead',
    booking_reminder: 'Remind of a booking',
    booking_confirmation: 'Confirm a booking',
    post_session: 'After a session',
    crm_update: 'Update the CRM',
  },
  de: {
    lead_followup: 'Lead nachfassen',
    booking_reminder: 'An Buchung erinnern',
    booking_confirmation: 'Buchung bestätigen',
    post_session: 'Nach einem Termin',
    crm_update: 'CRM aktualisieren',
  },
})

export const triggers = words({
  en: {
    new_lead: 'a new lead',
    status_changed: 'a lead’s status changed',
    message_received: 'a message came',
    no_contact: 'no contact with a lead',
    before_booking: 'before a booking',
    after_booking: 'after a booking',
  },
  de: {
    new_lead: 'ein neuer Lead',
    status_changed: 'Zustand eines Leads geändert',
    message_received: 'eine Nachricht kam',
    no_contact: 'kein Kontakt mit einem Lead',
    before_booking: 'vor einer Buchung',
    after_booking: 'nach einer Buchung',
  },
})

export const channels = words({
  en: { email: 'Email', sms: 'Text message', notification: 'Notification to the team' },
  de: { email: 'E-Mail', sms: 'SMS', notification: 'Hinweis ans Team' },
})

export const TYPES: readonly Type[] = [
  'lead_followup',
  'booking_reminder',
  'booking_confirmation',
  'post_session',
  'crm_update',
]
export const TRIGGERS: readonly Trigger[] = [
  'new_lead',
  'status_changed',
  'message_received',
  'no_contact',
  'before_booking',
  'after_booking',
]
export const CHANNELS: readonly Channel[] = ['email', 'sms', 'notification']
