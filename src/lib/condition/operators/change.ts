import { type OperatorContext, type OperatorSpec, refuse } from '../operator.ts'
import { equals, isSame } from './value.ts'

/** Operators that compare a value with the one before the event. */
export const CHANGE_OPERATORS = {
  changed: {
    subjects: 'any',
    operand: null,
    takesNull: true,
    needsEarlier: true,
    description: 'Has another value than before the event, which has to tell the earlier one.',
    example: ['trigger.price'],
    test: hasChanged,
  },
  changed_to: {
    subjects: 'any',
    operand: 'any',
    takesNull: true,
    needsEarlier: true,
    description: 'Has this value now and had another before the event.',
    example: ['trigger.status', 'shipped'],
    test: (subject, operand, context) =>
      equals(subject, operand, context) && hasChanged(subject, operand, context),
  },
} as const satisfies Record<string, OperatorSpec>

function hasChanged(subject: unknown, _operand: unknown, context: OperatorContext): boolean {
  if (!context.previous) return refuse(context, 'finds no earlier value in the event')
  return !isSame(subject, context.previous.value, context)
}
