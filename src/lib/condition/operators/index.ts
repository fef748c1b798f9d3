import type { OperatorContext, OperatorDefinition } from '../operator.ts'
import { defineOperator } from '../operator.ts'
import { CHANGE_OPERATORS } from './change.ts'
import { LIST_OPERATORS } from './list.ts'
import { NUMBER_OPERATORS } from './number.ts'
import { TEXT_OPERATORS } from './text.ts'
import { TIME_OPERATORS } from './time.ts'
import { VALUE_OPERATORS } from './value.ts'

export { isOperand } from '../operator.ts'
export type { OperatorContext, OperatorDefinition, SubjectType } from '../operator.ts'
export { COUNT_OPERATORS } from './list.ts'
export { MAX_MATCH_SUBJECT_BYTES, MAX_NEEDLE_CHARS, MAX_PATTERN_BYTES } from './text.ts'

const SPECS = {
  ...VALUE_OPERATORS,
  ...NUMBER_OPERATORS,
  ...TEXT_OPERATORS,
  ...TIME_OPERATORS,
  ...LIST_OPERATORS,
  ...CHANGE_OPERATORS,
} as const

export type OperatorName = keyof typeof SPECS

/** The one table of operators that compiler, engine and builder read. */
export const OPERATORS: ReadonlyMap<OperatorName, OperatorDefinition<OperatorName>> = new Map(
  (Object.keys(SPECS) as OperatorName[]).map((name) => [name, defineOperator(name, SPECS[name])]),
)

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
