import { isRawNumber } from '#lib/json/raw-number.ts'
import type { ValueType } from '#lib/json/value-type.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'
import { needsTimeZone, parseDuration, readTime } from '#lib/time.ts'

/** `time` is text that holds an ISO 8601 date or time, or seconds or milliseconds since 1970. */
export type SubjectType = 'text' | 'number' | 'boolean' | 'time' | 'list' | 'object'

/**
 * The kind of a test's `value`. `range` is `[low, high]`, two numbers or two times; `duration` is `"3 days"` or
 * `"PT72H"`; `condition` is tested against every item of a list, whose fields are `item` and `item.…`; `count` is a
 * number or `{ operator, value, where? }`.
 */
export type OperandType =
  'any' | 'text' | 'number' | 'range' | 'time' | 'duration' | 'list' | 'pattern' | 'condition' | 'count'

export interface OperatorContext {
  /** The clock of before, after and the other time operators. */
  readonly now: Date
  /** Of times that do not name one; UTC if left out. */
  readonly zone?: string | undefined
  /** A regexp engine that is linear in the subject; without it `matches` is not available. Throws on a bad pattern. */
  readonly matchPattern?:
    ((pattern: string, subject: string, spend?: (steps: number) => void) => boolean) | undefined
  /** The subject's earlier value, when the event tells one. */
  readonly previous?: { readonly value: unknown } | undefined
  /** Compares text, numbers and booleans as text where values are compared for being the same. */
  readonly scalarsAsText?: boolean | undefined
  /** Tests a nested condition against one item of a list. */
  readonly testItem?: ((condition: unknown, item: unknown) => boolean) | undefined
  /** Is told why a test is false although nothing is wrong with the data's value. */
  readonly note?: ((text: string) => void) | undefined
  /** Is told what every test costs, in steps as `StepBudget` has them; may throw to stop it. */
  readonly spend?: ((steps: number) => void) | undefined
}

export interface OperatorDefinition<Name extends string = string> {
  readonly name: Name
  readonly subjects: readonly SubjectType[] | 'any'
  /** null: the operator stands alone. */
  readonly operand: OperandType | null
  readonly operands: 0 | 1 | 2
  /** The result when the subject is missing, or null where null is not a value to compare with. */
  readonly whenMissing: boolean
  readonly needsPatternEngine: boolean
  /** Compares with the value before the event. */
  readonly needsEarlier: boolean
  readonly description: string
  readonly example: { field: string; operator: Name; value?: unknown }
  /** Never throws of its own accord: a value that does not fit is false, with a note. */
  evaluate(subject: unknown, operand: unknown, context: OperatorContext): boolean
}

export interface OperatorSpec {
  subjects: readonly SubjectType[] | 'any'
  operand: OperandType | null
  description: string
  /** The example's field and, with an operand, its value. */
  example: readonly [field: string, value?: unknown]
  whenMissing?: boolean
  /** null reaches the test as a value instead of counting as missing. */
  takesNull?: boolean
  needsPatternEngine?: boolean
  needsEarlier?: boolean
  /** Spends what it does beyond a few comparisons: by members, and by the length of text. */
  test: (subject: never, operand: never, context: OperatorContext) => boolean
}

/** Of a test whose two sides are at hand, and of one that reads times from texts. */
const TEST_STEPS = 2
const TIME_STEPS = 20

/** Builds one row of the table; its `evaluate` checks both sides, so that `test` sees only what fits. */
export function defineOperator<Name extends string>(
  name: Name,
  spec: OperatorSpec,
): OperatorDefinition<Name> {
  const { subjects, operand: operandType, whenMissing = false } = spec
  const test = spec.test as (subject: unknown, operand: unknown, context: OperatorContext) => boolean
  const [field, value] = spec.example
  const readsTimes = ['time', 'duration', 'range'].includes(operandType ?? '')
  return Object.freeze({
    name,
    subjects,
    operand: operandType,
    operands: operandType === null ? 0 : operandType === 'range' ? 2 : 1,
    whenMissing,
    needsPatternEngine: spec.needsPatternEngine ?? false,
    needsEarlier: spec.needsEarlier ?? false,
    description: spec.description,
    example: { field, operator: name, ...(value !== undefined && { value }) },
    evaluate(subject: unknown, operand: unknown, context: OperatorContext): boolean {
      context.spend?.((readsTimes ? TIME_STEPS : TEST_STEPS) + digitSteps(subject) + digitSteps(operand))
      if (subject === undefined || (subject === null && !spec.takesNull)) return whenMissing
      if (!isSubject(subject, subjects)) {
        context.note?.(`needs ${list(subjects)}, found ${valueTypeOf(subject)}`)
        return false
      }
      if (operandType !== null && !isOperand(operand, operandType)) {
        context.note?.(
          `cannot be compared with a value that is ${valueTypeOf(operand)}: needs ${operandType}`,
        )
        return false
      }
      return test(subject, operand, context)
    },
  })
}

/** To find the moment at which the clocks of a zone show something. */
const ZONE_STEPS = 200

/** Returns milliseconds since 1970 of a value that `isOperand` or the subjects' types have found to be a time. */
export function momentOf(time: unknown, { zone = 'UTC', spend }: OperatorContext): number {
  if (zone !== 'UTC' && needsTimeZone(time)) spend?.(ZONE_STEPS)
  return readTime(time, zone) ?? Number.NaN
}

/** Is false, and says why. */
export function refuse(context: OperatorContext, note: string): false {
  context.note?.(note)
  return false
}

/**
 * Returns whether a value can stand in a test's `value`; the contents of `condition` and `count` are checked
 * elsewhere.
 */
export function isOperand(value: unknown, type: OperandType): boolean {
  switch (type) {
    case 'any':
      return value !== undefined
    case 'text':
    case 'pattern':
      return typeof value === 'string'
    case 'number':
      return valueTypeOf(value) === 'number'
    case 'time':
      return readTime(value) !== null
    case 'duration':
      return typeof value === 'string' && parseDuration(value) !== null
    case 'list':
      return Array.isArray(value)
    case 'range':
      return (
        Array.isArray(value) &&
        value.length === 2 &&
        (['number', 'time'] as const).some((kind) => value.every((end) => isOperand(end, kind)))
      )
    case 'condition':
      return valueTypeOf(value) === 'object'
    case 'count':
      return valueTypeOf(value) === 'number' || valueTypeOf(value) === 'object'
  }
}

function isSubject(subject: unknown, types: readonly SubjectType[] | 'any'): boolean {
  if (types === 'any') return true
  const type: ValueType = valueTypeOf(subject)
  return types.some((wanted) => (wanted === 'time' ? readTime(subject) !== null : wanted === type))
}

function list(types: readonly SubjectType[] | 'any'): string {
  return types === 'any' ? 'any value' : types.join(' or ')
}

/** A number that is kept as it came may have a thousand digits, which are read to compare it. */
function digitSteps(value: unknown): number {
  return isRawNumber(value) ? value.rawJSON.length >> 3 : 0
}
