import { momentOf, type OperatorContext, type OperatorSpec } from '../operator.ts'
import { parseDuration } from '#lib/time.ts'

/** Operators that compare times, by the clock of the context. */
export const TIME_OPERATORS = {
  before: {
    subjects: ['time'],
    operand: 'time',
    description: 'Is a time before this one.',
    example: ['trigger.starts_at', '2026-12-24T18:00:00Z'],
    test: (subject, operand, context) => momentOf(subject, context) < momentOf(operand, context),
  },
  after: {
    subjects: ['time'],
    operand: 'time',
    description: 'Is a time after this one.',
    example: ['trigger.starts_at', '2026-01-01'],
    test: (subject, operand, context) => momentOf(subject, context) > momentOf(operand, context),
  },
  within_last: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time between so long ago and now.',
    example: ['trigger.last_order_at', '30 days'],
    test: (subject, operand: string, context) => isWithin(subject, -durationOf(operand), 0, context),
  },
  within_next: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time between now and so long from now.',
    example: ['trigger.starts_at', '24 hours'],
    test: (subject, operand: string, context) => isWithin(subject, 0, durationOf(operand), context),
  },
  older_than: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time longer ago than this.',
    example: ['trigger.created_at', 'PT72H'],
    test: (subject, operand: string, context) =>
      momentOf(subject, context) < context.now.getTime() - durationOf(operand),
  },
} as const satisfies Record<string, OperatorSpec>

/** Returns whether it is between so long from now and so long from now, both included. */
function isWithin(subject: unknown, fromMs: number, toMs: number, context: OperatorContext): boolean {
  const distance = momentOf(subject, context) - context.now.getTime()
  return distance >= fromMs && distance <= toMs
}

function durationOf(text: string): number {
  return parseDuration(text) ?? Number.NaN
}
