import {
  defineOperator,
  type OperatorContext,
  type OperatorDefinition,
  type OperatorSpec,
  refuse,
} from '../operator.ts'
import { compareNumbers, valueTypeOf } from '#lib/json/value-type.ts'
import { NUMBER_OPERATORS } from './number.ts'
import { VALUE_OPERATORS } from './value.ts'

const COMPARISONS: ReadonlyMap<string, OperatorDefinition> = new Map(
  Object.entries({
    equals: VALUE_OPERATORS.equals,
    not_equals: VALUE_OPERATORS.not_equals,
    ...NUMBER_OPERATORS,
  }).map(([name, spec]) => [name, defineOperator(name, spec)]),
)

/** Operators that `count` compares a number of items with. */
export const COUNT_OPERATORS: readonly string[] = [...COMPARISONS.keys()]

/** Operators that test the items of a list. */
export const LIST_OPERATORS = {
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
} as const satisfies Record<string, OperatorSpec>

/** Tests a condition on an item; the caller spends the condition's cost. */
function testItem(item: unknown, condition: unknown, context: OperatorContext): boolean {
  if (!context.testItem) return refuse(context, 'cannot test items here')
  return context.testItem(condition, item)
}

function countFits(subject: unknown[], operand: unknown, context: OperatorContext): boolean {
  if (valueTypeOf(operand) === 'number') return compareNumbers(subject.length, operand) === 0
  const { operator: name, value, where } = operand as { operator?: unknown; value?: unknown; where?: unknown }
  const comparison = COMPARISONS.get(name as string)
  if (!comparison) return refuse(context, `needs a number or one of ${COUNT_OPERATORS.join(', ')}`)
  const counted = where === undefined ? subject : subject.filter((item) => testItem(item, where, context))
  return comparison.evaluate(counted.length, value, context)
}
