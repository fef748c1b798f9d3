import type { OperatorSpec } from '../operator.ts'
import { parseDuration, parseTime } from '#lib/time.ts'

/** When something is, by the clock of the context. */
export const TIME_OPERATORS = {
  before: {
    subjects: ['time'],
    operand: 'time',
    description: 'Is a time before this one.',
    example: ['trigger.starts_at', '2026-12-24T18:00:00Z'],
    test: (subject: string, operand: string) => timeOf(subject) < timeOf(operand),
  },
  after: {
    subjects: ['time'],
    operand: 'time',
    description: 'Is a time after this one.',
    example: ['trigger.starts_at', '2026-01-01'],
    test: (subject: string, operand: string) => timeOf(subject) > timeOf(operand),
  },
  within_last: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time between so long ago and now.',
    example: ['trigger.last_order_at', '30 days'],
    test: (subject: string, operand: string, { now }) =>
      timeOf(subject) >= now.getTime() - durationOf(operand) && timeOf(subject) <= now.getTime(),
  },
  within_next: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time between now and so long from now.',
    example: ['trigger.starts_at', '24 hours'],
    test: (subject: string, operand: string, { now }) =>
      timeOf(subject) >= now.getTime() && timeOf(subject) <= now.getTime() + durationOf(operand),
  },
  older_than: {
    subjects: ['time'],
    operand: 'duration',
    description: 'Is a time longer ago than this.',
    example: ['trigger.created_at', 'PT72H'],
    test: (subject: string, operand: string, { now }) =>
      timeOf(subject) < now.getTime() - durationOf(operand),
  },
} as const satisfies Record<string, OperatorSpec>

export function timeOf(text: string): number {
  return parseTime(text) ?? Number.NaN
}

function durationOf(text: string): number {
  return parseDuration(text) ?? Number.NaN
}
