import { templateLine, text } from './parameter.ts'
import type { Definition } from './template.ts'

/** The parameters of flows that tell of trouble. */
export const TROUBLE = {
  to: text('Address', 'Whose email address is told. Empty: a notification in the platform instead.', ''),
  subject: (fallback: string) => templateLine('Subject', 'How the message begins.', fallback),
}

/** Tells somebody of the shop what has happened and what to do, as the alert says it. */
export function tellOf(
  types: readonly string[],
  { to, subject }: { to: string; subject: string },
): Definition {
  const said = { subject, body: '{{trigger.summary}}\n\n{{trigger.what_to_do | default: ""}}' }
  const isMail = to !== ''
  return {
    triggers: [{ type: 'event', event_types: [...types] }],
    ...(isMail && { variables: { to } }),
    steps: [
      {
        id: 'tell',
        type: 'message',
        ...(isMail ? { channel: 'email', to: '{{variables.to}}' } : { channel: 'notification' }),
        ...said,
        on_success: 'end',
      },
    ],
  }
}
