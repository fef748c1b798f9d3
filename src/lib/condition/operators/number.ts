import { isOperand, momentOf, type OperatorContext, type OperatorSpec, refuse } from '../operator.ts'
import { compareNumbers } from '#lib/json/value-type.ts'

/** Operators that compare numbers. */
export const NUMBER_OPERATORS = {
  gt: {
    subjects: ['number'],
    operand: 'number',
    description: 'Is greater than the number.',
    example: ['trigger.total', 100],
    test: (subject, operand) => compareNumbers(subject, operand) > 0,
  },
  gte: {
    subjects: ['number'],
    operand: 'number',
    description: 'Is the number or greater.',
    example: ['trigger.total', 100],
    test: (subject, operand) => compareNumbers(subject, operand) >= 0,
  },
  lt: {
    subjects: ['number'],
    operand: 'number',
    description: 'Is less than the number.',
    example: ['trigger.stock', 5],
    test: (subject, operand) => compareNumbers(subject, operand) < 0,
  },
  lte: {
    subjects: ['number'],
    operand: 'number',
    description: 'Is the number or less.',
    example: ['trigger.stock', 0],
    test: (subject, operand) => compareNumbers(subject, operand) <= 0,
  },
  between: {
    subjects: ['number', 'time'],
    operand: 'range',
    description: 'Is between two numbers or two times, both included.',
    example: ['trigger.total', [50, 200]],
    test: isBetween,
  },
} as const satisfies Record<string, OperatorSpec>

function isBetween(subject: unknown, [low, high]: [unknown, unknown], context: OperatorContext): boolean {
  const isTimes = typeof low === 'string'
  if (typeof subject === 'string' && !isTimes) return refuse(context, 'compares a time with numbers')
  if (isTimes) {
    // A number may be a time, in seconds or milliseconds since 1970.
    if (!isOperand(subject, 'time')) return refuse(context, 'compares a number with times')
    const time = momentOf(subject, context)
    return time >= momentOf(low, context) && time <= momentOf(high, context)
  }
  return compareNumbers(subject, low) >= 0 && compareNumbers(subject, high) <= 0
}
