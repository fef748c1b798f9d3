import { Buffer } from 'node:buffer'
import type { OperatorContext, OperatorDefinition, OperatorSpec } from './operator.ts'
import { defineOperator } from './operator.ts'
import { parseDuration, parseTime } from './time.ts'
import { compareNumbers, isSameValue, valueTypeOf } from './value-type.ts'

export type { OperandType, OperatorContext, OperatorDefinition, SubjectType } from './operator.ts'

/** What `matches` takes at most, so that one test stays cheap also in a linear engine. */
export const MAX_PATTERN_BYTES = 512
export const MAX_MATCH_SUBJECT_BYTES = 8192

const SPECS = {
  equals: {
    subjects: 'any',
    operand: 'any',
    takesNull: true,
    description: 'Is the same value of the same type: the text "10" is not the number 10.',
    example: ['trigger.country', 'US'],
    test: equals,
  },
  not_equals: {
    subjects: 'any',
    operand: 'any',
    takesNull: true,
    whenMissing: true,
    description: 'Is another value, or missing.',
    example: ['trigger.status', 'cancelled'],
    test: (subject, operand, context) => !equals(subject, operand, context),
  },
  in: {
    subjects: 'any',
    operand: 'list',
    takesNull: true,
    description: 'Is one of the listed values.',
    example: ['trigger.country', ['DE', 'AT', 'CH']],
    test: isOneOf,
  },
  not_in: {
    subjects: 'any',
    operand: 'list',
    takesNull: true,
    whenMissing: true,
    description: 'Is none of the listed values, or missing.',
    example: ['trigger.channel', ['pos', 'import']],
    test: (subject, operand, context) => !isOneOf(subject, operand, context),
  },
  exists: {
    subjects: 'any',
    operand: null,
    description: 'Is there and is not null.',
    example: ['trigger.email'],
    test: () => true,
  },
  not_exists: {
    subjects: 'any',
    operand: null,
    whenMissing: true,
    description: 'Is missing or null.',
    example: ['trigger.phone'],
    test: () => false,
  },
  is_empty: {
    subjects: 'any',
    operand: null,
    whenMissing: true,
    description: 'Is missing, null, "", an empty list or an empty object; 0 and false are not empty.',
    example: ['trigger.tags'],
    test: isEmpty,
  },
  is_not_empty: {
    subjects: 'any',
    operand: null,
    description: 'Is there and is not "", an empty list or an empty object.',
    example: ['trigger.note'],
    test: (subject: unknown) => !isEmpty(subject),
  },
  is_true: {
    subjects: ['boolean'],
    operand: null,
    description: 'Is the boolean true; the text "true" is not.',
    example: ['trigger.accepts_marketing'],
    test: (subject: boolean) => subject,
  },
  is_false: {
    subjects: ['boolean'],
    operand: null,
    description: 'Is the boolean false; the text "false" and a missing field are not.',
    example: ['trigger.paid'],
    test: (subject: boolean) => !subject,
  },
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
  contains: {
    subjects: ['text', 'list'],
    operand: 'any',
    description: 'Is text with this text in it, or a list with this item; upper and lower case differ.',
    example: ['trigger.tags', 'vip'],
    test: contains,
  },
  not_contains: {
    subjects: ['text', 'list'],
    operand: 'any',
    whenMissing: true,
    description: 'Is text without this text, a list without this item, or missing.',
    example: ['trigger.tags', 'blocked'],
    test: (subject: string | unknown[], operand, context) =>
      isSearchable(subject, operand, context) && !contains(subject, operand, context),
  },
  starts_with: {
    subjects: ['text'],
    operand: 'text',
    description: 'Is text that starts with this text.',
    example: ['trigger.sku', 'SHOE-'],
    test: (subject: string, operand: string) => subject.startsWith(operand),
  },
  ends_with: {
    subjects: ['text'],
    operand: 'text',
    description: 'Is text that ends with this text.',
    example: ['trigger.email', '@example.com'],
    test: (subject: string, operand: string) => subject.endsWith(operand),
  },
  matches: {
    subjects: ['text'],
    operand: 'pattern',
    needsPatternEngine: true,
    description: `Is text of at most 8 KB in which the regular expression (RE2 syntax, at most 512 bytes) is found.`,
    example: ['trigger.postcode', '^[0-9]{5}$'],
    test: matches,
  },
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
  any: {
    subjects: ['list'],
    operand: 'condition',
    description: 'Is a list with at least one item that meets the condition.',
    example: ['trigger.items', { field: 'item.price', operator: 'gt', value: 100 }],
    test: (subject: unknown[], operand, context) => subject.some((item) => testItem(item, operand, context)),
  },
  all: {
    subjects: ['list'],
    operand: 'condition',
    description: 'Is a list whose items all meet the condition, as those of an empty list do.',
    example: ['trigger.items', { field: 'item.in_stock', operator: 'is_true' }],
    test: (subject: unknown[], operand, context) => subject.every((item) => testItem(item, operand, context)),
  },
  none: {
    subjects: ['list'],
    operand: 'condition',
    whenMissing: true,
    description: 'Is a list without any item that meets the condition, or missing.',
    example: ['trigger.tags', { field: 'item', operator: 'equals', value: 'blocked' }],
    test: (subject: unknown[], operand, context) => !subject.some((item) => testItem(item, operand, context)),
  },
  count: {
    subjects: ['list'],
    operand: 'count',
    description: 'Is a list with so many items; "where" counts only those that meet a condition.',
    example: ['trigger.items', { operator: 'gte', value: 3 }],
    test: countFits,
  },
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

export type OperatorName = keyof typeof SPECS

/** The one table of operators that compiler, engine and builder read. */
export const OPERATORS: ReadonlyMap<OperatorName, OperatorDefinition<OperatorName>> = new Map(
  (Object.keys(SPECS) as OperatorName[]).map((name) => [name, defineOperator(name, SPECS[name])]),
)

/** Operators that `count` compares a number of items with. */
export const COUNT_OPERATORS: readonly string[] = [
  'equals',
  'not_equals',
  'gt',
  'gte',
  'lt',
  'lte',
  'between',
]

export function findOperator(name: unknown): OperatorDefinition<OperatorName> | undefined {
  return OPERATORS.get(name as OperatorName)
}

export interface OperatorDescription extends Pick<
  OperatorDefinition<OperatorName>,
  'name' | 'subjects' | 'operand' | 'operands' | 'description' | 'example'
> {
  when_missing: boolean
  /** False for `matches` without a regexp engine. */
  available: boolean
}

/** The table for `GET /api/automation/operators`: everything but the code. */
export function describeOperators(
  context: Pick<OperatorContext, 'matchPattern'> = {},
): OperatorDescription[] {
  return [...OPERATORS.values()].map(
    ({ name, subjects, operand, operands, description, example, whenMissing, needsPatternEngine }) => ({
      name,
      subjects,
      operand,
      operands,
      description,
      example,
      when_missing: whenMissing,
      available: !needsPatternEngine || context.matchPattern !== undefined,
    }),
  )
}

function equals(subject: unknown, operand: unknown, context: OperatorContext): boolean {
  if (isSameValue(subject, operand, context.spend)) return true
  const [left, right] = [valueTypeOf(subject), valueTypeOf(operand)]
  if (left !== right && left !== 'null' && right !== 'null') {
    context.note?.(`compares ${left} with ${right}, which are never equal`)
  }
  return false
}

function isOneOf(subject: unknown, operand: unknown[], context: OperatorContext): boolean {
  return operand.some((value) => isSameValue(subject, value, context.spend))
}

function isEmpty(subject: unknown): boolean {
  if (subject === '') return true
  if (Array.isArray(subject)) return subject.length === 0
  return valueTypeOf(subject) === 'object' && Object.keys(subject as object).length === 0
}

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

function isSearchable(subject: string | unknown[], operand: unknown, context: OperatorContext): boolean {
  if (typeof subject !== 'string' || typeof operand === 'string') return true
  context.note?.(`looks for ${valueTypeOf(operand)} in text: needs text`)
  return false
}

function contains(subject: string | unknown[], operand: unknown, context: OperatorContext): boolean {
  if (!isSearchable(subject, operand, context)) return false
  if (typeof subject === 'string') return subject.includes(operand as string)
  return subject.some((item) => isSameValue(item, operand, context.spend))
}

function matches(subject: string, pattern: string, context: OperatorContext): boolean {
  if (!context.matchPattern)
    return refuse(context, 'is not available here: there is no regular expression engine')
  if (Buffer.byteLength(pattern) > MAX_PATTERN_BYTES)
    return refuse(context, 'has a pattern of more than 512 bytes')
  if (Buffer.byteLength(subject) > MAX_MATCH_SUBJECT_BYTES)
    return refuse(context, 'looks at text of more than 8 KB')
  try {
    return context.matchPattern(pattern, subject)
  } catch (error) {
    return refuse(context, `cannot be tested: ${(error as Error).message}`)
  }
}

function testItem(item: unknown, condition: unknown, context: OperatorContext): boolean {
  if (!context.testItem) return refuse(context, 'cannot test items here')
  return context.testItem(condition, item)
}

function countFits(subject: unknown[], operand: unknown, context: OperatorContext): boolean {
  if (valueTypeOf(operand) === 'number') return compareNumbers(subject.length, operand) === 0
  const { operator: name, value, where } = operand as { operator?: unknown; value?: unknown; where?: unknown }
  const comparison = COUNT_OPERATORS.includes(name as string) ? findOperator(name) : undefined
  if (!comparison) return refuse(context, `needs a number or one of ${COUNT_OPERATORS.join(', ')}`)
  const counted = where === undefined ? subject : subject.filter((item) => testItem(item, where, context))
  return comparison.evaluate(counted.length, value, context)
}

function hasChanged(subject: unknown, _operand: unknown, context: OperatorContext): boolean {
  if (!context.previous) return refuse(context, 'finds no earlier value in the event')
  return !isSameValue(subject, context.previous.value, context.spend)
}

function refuse(context: OperatorContext, note: string): false {
  context.note?.(note)
  return false
}

function timeOf(text: string): number {
  return parseTime(text) ?? Number.NaN
}

function durationOf(text: string): number {
  return parseDuration(text) ?? Number.NaN
}
