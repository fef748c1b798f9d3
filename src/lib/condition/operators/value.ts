import type { OperatorContext, OperatorSpec } from '../operator.ts'
import { identityText, isSameIdentity } from '../identity.ts'
import { isSameValue, valueTypeOf } from '#lib/json/value-type.ts'

/** Operators that take any value. */
export const VALUE_OPERATORS = {
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
    test: (subject: unknown, operand, context) => !isEmpty(subject, operand, context),
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
} as const satisfies Record<string, OperatorSpec>

export function equals(subject: unknown, operand: unknown, context: OperatorContext): boolean {
  if (isSame(subject, operand, context)) return true
  if (context.scalarsAsText && identityText(subject) !== null && identityText(operand) !== null) return false
  const [left, right] = [valueTypeOf(subject), valueTypeOf(operand)]
  if (left !== right && left !== 'null' && right !== 'null') {
    context.note?.(`compares ${left} with ${right}, which are never equal`)
  }
  return false
}

function isOneOf(subject: unknown, operand: unknown[], context: OperatorContext): boolean {
  return operand.some((value) => isSame(subject, value, context))
}

export function isSame(a: unknown, b: unknown, { scalarsAsText, spend }: OperatorContext): boolean {
  return scalarsAsText ? isSameIdentity(a, b, spend) : isSameValue(a, b, spend)
}

function isEmpty(subject: unknown, _operand: unknown, context: OperatorContext): boolean {
  if (subject === '') return true
  if (Array.isArray(subject)) return subject.length === 0
  if (valueTypeOf(subject) !== 'object') return false
  const members = Object.keys(subject as object).length
  context.spend?.(members)
  return members === 0
}
