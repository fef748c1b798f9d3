import type { Condition } from '#lib/condition/index.ts'
import { GROUP_NAMES } from '#lib/condition/shape.ts'
import type { StepBase } from '../elements.ts'
import { readCondition } from '../read/condition.ts'
import type { Reader } from '../read/reader.ts'
import { at, has, report, take } from '../read/reader.ts'
import { type DefinitionOf, USUAL } from './definition.ts'
import { CONDITION_MEMBERS } from './member-schemas.ts'

/** Templates may stand in the condition's values, paths are rooted. */
export type ConditionStep = StepBase<'condition', { condition: Condition }, 'true' | 'false'>

export const conditionStep: DefinitionOf<ConditionStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Goes one way or the other.',
    properties: CONDITION_MEMBERS,
    examples: [
      { type: 'condition', condition: { field: 'total', operator: 'gte', value: 500 } },
      { type: 'condition', all: [{ field: 'total', operator: 'gte', value: 500 }] },
    ],
  },
  linear: { type: 'condition', field: 'total', operator: 'gte', value: 500 },
  read: readStepCondition,
  output: () => ({ type: 'object', properties: { result: { type: 'boolean' } } }),
  ports: () => ['true', 'false'],
  goesOn: ['true'],
  calls: false,
  causes: 'nothing',
}

const INLINE_NAMES = ['field', 'operator', 'value', ...GROUP_NAMES] as const

/** Reads the condition under `condition`, or written straight into the step, as the linear format does. */
export function readStepCondition(reader: Reader): { condition: Condition } | null {
  const inline = INLINE_NAMES.filter((name) => has(reader, name) || Object.hasOwn(reader.members, name))
  const nested = take(reader, 'condition')
  if (nested === undefined && inline.length === 0) {
    const message = 'Add "condition": { "field": "email", "operator": "exists" }.'
    report(reader, 'missing_property', at(reader, 'condition'), message)
    return null
  }
  if (nested !== undefined && inline.length > 0) {
    const message = `Give the condition once: remove ${inline.join(', ')} or "condition".`
    report(reader, 'malformed', at(reader, 'condition'), message)
    return null
  }
  const condition =
    nested === undefined
      ? readCondition(
          reader,
          Object.fromEntries(inline.map((name) => [name, reader.members[name]])),
          reader.path,
        )
      : readCondition(reader, nested, at(reader, 'condition'))
  return condition && { condition }
}
