import type { Condition } from '#lib/condition/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { StepBase } from '../elements.ts'
import { isId } from '../ids.ts'
import type { Reader } from '../read/reader.ts'
import { at, createReader, finish, report, take } from '../read/reader.ts'
import { readStepCondition } from './condition.ts'
import { type DefinitionOf, USUAL } from './definition.ts'
import { CONDITION_MEMBERS } from './member-schemas.ts'

const MAX_CASES = 50

interface SwitchCase {
  /** The port it leaves by. */
  name: string
  condition: Condition
}
/** The first case that holds decides. */
export type SwitchStep = StepBase<'switch', { cases: SwitchCase[] }, string>

export const switchStep: DefinitionOf<SwitchStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Goes the way of the first case that holds.',
    properties: {
      cases: {
        type: 'array',
        minItems: 1,
        maxItems: MAX_CASES,
        items: {
          type: 'object',
          properties: {
            name: { type: 'string', description: 'The port is on_<name>.' },
            ...CONDITION_MEMBERS,
          },
          required: ['name'],
          additionalProperties: false,
        },
      },
    },
    required: ['cases'],
    namesPorts: true,
    examples: [
      {
        type: 'switch',
        cases: [{ name: 'large', condition: { field: 'total', operator: 'gte', value: 500 } }],
      },
    ],
  },
  read: readCases,
  output: ({ cases }) => ({
    type: 'object',
    properties: { case: { type: 'string', enum: [...cases.map(({ name }) => name), 'default'] } },
  }),
  ports: (config) => [...(config?.cases ?? []).map(({ name }) => name), 'default'],
  goesOn: [],
  calls: false,
  causes: 'nothing',
}

function readCases(reader: Reader): { cases: SwitchCase[] } | null {
  const sent = take(reader, 'cases')
  const path = at(reader, 'cases')
  if (!Array.isArray(sent) || sent.length === 0 || sent.length > MAX_CASES) {
    const message = `Give "cases" a list of 1 to ${MAX_CASES} cases, each { "name", "condition" }.`
    report(reader, 'missing_property', path, message)
    return null
  }
  const names = new Set(['default'])
  const earlier = new Set<string>()
  const cases = sent.flatMap((each: unknown, index) => readCase(reader, each, index, names, earlier))
  return { cases }
}

function readCase(
  reader: Reader,
  value: unknown,
  index: number,
  names: Set<string>,
  earlier: Set<string>,
): SwitchCase[] {
  const path = [...at(reader, 'cases'), index]
  if (!isPlainObject(value)) {
    report(reader, 'malformed', path, 'Write a case as { "name": "vip", "condition": { … } }.')
    return []
  }
  const inner = createReader(reader.compilation, value, path, reader.stepId)
  const name = take(inner, 'name')
  if (!isId(name)) {
    const message = 'Name the case by lower-case letters, digits and _: it is the port on_<name>.'
    report(inner, 'invalid_id', at(inner, 'name'), message)
  } else if (names.has(name)) {
    report(inner, 'duplicate_id', at(inner, 'name'), `Rename the case: "${name}" is taken.`)
  } else names.add(name)
  const condition = readStepCondition(inner)
  finish(inner)
  if (condition === null || !isId(name)) return []
  const text = JSON.stringify(condition)
  if (earlier.has(text)) {
    report(inner, 'always_false', path, 'Never chosen: an earlier case has the same condition.')
  }
  earlier.add(text)
  return [{ name, ...condition }]
}
