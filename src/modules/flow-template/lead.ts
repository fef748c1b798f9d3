import { idOf, sameAs, type Step } from './template.ts'

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

/**
 * Writes down at the platform that the lead was written to. What was sent is sent: a platform that does not keep it, or
 * has no such lead any more, keeps nothing from going on.
 */
export function contactedStep(id: string, next: 'end' | (string & {}) = 'end'): Step {
  return {
    id,
    type: 'action',
    plugin_id: 'platform',
    action_type: 'update_lead',
    input: { id: `{{${idOf('lead')}}}`, last_contacted: '{{now}}' },
    on_success: next,
    on_error: next,
  }
}
