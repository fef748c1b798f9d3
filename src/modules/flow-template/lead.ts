import { sameAs } from './template.ts'

/** A lead without an address has none that a message could be from. */
const EMAIL = '{{trigger.email | default: "none"}}'
const PHONE = '{{trigger.phone | default: "none"}}'
/** `message.sent` of what a person wrote. */
export const BY_HAND = { field: 'automated', operator: 'is_false' }

/** Somebody wrote, in either direction; what automations send does not count. Or somebody dealt with the lead. */
export const LEAD_CONTACT = [
  ...[sameAs('lead'), { from: EMAIL }, { from: PHONE }].map((match) => ({
    event: 'message.received',
    match,
  })),
  ...[sameAs('lead'), { to: EMAIL }, { to: PHONE }].map((match) => ({
    event: 'message.sent',
    match,
    filter: BY_HAND,
  })),
  { event: 'lead.status_changed', match: sameAs('lead') },
]
