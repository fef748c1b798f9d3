import { ACTION_CASES } from './action.ts'
import { CONDITION_CASES } from './condition.ts'
import { HANDLING_CASES } from './handling.ts'
import { STRUCTURE_CASES } from './structure.ts'
import { TEMPLATE_CASES } from './template.ts'
import { TRIGGER_CASES } from './trigger.ts'
import { WAITING_CASES } from './waiting.ts'

/** Every problem case, by the part that is at fault. */
export const FAMILIES = {
  'the structure': STRUCTURE_CASES,
  'a trigger': TRIGGER_CASES,
  'an action': ACTION_CASES,
  'a template': TEMPLATE_CASES,
  'a condition': CONDITION_CASES,
  'a wait': WAITING_CASES,
  'an error handler or a rule': HANDLING_CASES,
}
