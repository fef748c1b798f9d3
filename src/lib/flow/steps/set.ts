import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { StepBase, TemplateTree } from '../elements.ts'
import { isId } from '../ids.ts'
import type { Reader } from '../read/reader.ts'
import { at, report, take } from '../read/reader.ts'
import { readTree } from '../read/template.ts'
import { type DefinitionOf, USUAL } from './definition.ts'

const MAX_VARIABLES = 50

/** In a loop's body the variables are those of the item, and are gone when it ends. */
export type SetStep = StepBase<'set', { variables: Record<string, TemplateTree> }, 'next'>

export const setStep: DefinitionOf<SetStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Keeps values under names.',
    properties: {
      variables: { type: 'object', description: `1 to ${MAX_VARIABLES} names with templates.` },
    },
    required: ['variables'],
    examples: [{ type: 'set', variables: { greeting: 'Dear {{trigger.name}}' } }],
  },
  read: readVariables,
  output: ({ variables }) => ({
    type: 'object',
    properties: Object.fromEntries(Object.keys(variables).map((name) => [name, {}])),
  }),
  ports: () => ['next'],
  goesOn: ['next'],
  calls: false,
  causes: 'nothing',
  variables: { names: ({ variables }) => Object.keys(variables) },
}

function readVariables(reader: Reader): { variables: Record<string, unknown> } | null {
  const sent = take(reader, 'variables')
  const path = at(reader, 'variables')
  const names = isPlainObject(sent) ? Object.keys(sent) : []
  if (!isPlainObject(sent) || names.length === 0 || names.length > MAX_VARIABLES) {
    const message = `Give "variables" an object of 1 to ${MAX_VARIABLES} names with templates.`
    report(reader, 'missing_property', path, message)
    return null
  }
  for (const name of names) {
    if (isId(name)) continue
    report(reader, 'invalid_id', [...path, name], 'Name variables by lower-case letters, digits and _.')
  }
  readTree(reader, sent, path)
  return { variables: sent }
}
