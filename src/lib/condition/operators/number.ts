import type { OperatorContext, OperatorSpec } from '../operator.ts'
import { compareNumbers } from '#lib/json/value-type.ts'
import { timeOf } from './time.ts'

/** How large something is. */
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
  const isTime = typeof subject === 'string'
  if (isTime !== (typeof low === 'string')) {
    context.note?.(isTime ? 'compares a time with numbers' : 'compares a number with times')
    return false
  }
  if (isTime) {
    const time = timeOf(subject)
    return time >= timeOf(low as string) && time <= timeOf(high as string)
  }
  return compareNumbers(subject, low) >= 0 && compareNumbers(subject, high) <= 0
}
