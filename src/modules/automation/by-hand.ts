import type { SafeSchema } from '../../lib/safe-schema.ts'
import { CATALOGUE } from '../event/index.ts'
import { type AutomationTrigger, isOfBooking } from './fields.ts'

/** The trigger by which somebody starts it: it takes what the event would have told. */
export function manualTrigger(trigger: AutomationTrigger, eventType: string | undefined): object {
  const schema: SafeSchema | undefined = CATALOGUE.get(eventType ?? '')?.schema
  return {
    id: 'by_hand',
    type: 'manual',
    input_schema: { ...schema, type: 'object', required: neededOf(trigger) },
  }
}

/** Without which nobody could be told anything. */
function neededOf(trigger: AutomationTrigger): string[] {
  if (trigger === 'message_received') return ['id', 'from']
  return isOfBooking(trigger) ? ['id', 'starts_at'] : ['id']
}
