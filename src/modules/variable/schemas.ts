import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const VALUE_MAX_BYTES = 8 * 1024
const NAME = '^[A-Za-z_][A-Za-z0-9_]{0,63}$'

const description = Type.String({ maxLength: 500 })

export const Variable = Type.Object(
  {
    name: Type.String({ description: 'As flows read it: `{{variables.<name>}}`' }),
    value: Type.Unknown({ description: 'Any JSON but null; a number keeps its text' }),
    type: StringEnum(['text', 'number', 'boolean', 'list', 'object'], { description: 'Of the value' }),
    description,
    warning: Nullable(
      Type.String({ description: 'Why it had better be a connection; null: nothing is wrong' }),
    ),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { $id: 'Variable' },
)
export type Variable = Static<typeof Variable>

export const VariablePage = Page(ref(Variable), 'VariablePage')

export const VariableInput = Type.Object(
  {
    value: Type.Unknown({
      description: `Any JSON but null, at most ${VALUE_MAX_BYTES / 1024} KiB of it. No place for keys: who may read flows sees it`,
    }),
    description: Type.Optional(description),
  },
  {
    $id: 'VariableInput',
    additionalProperties: false,
    examples: [{ value: 'help@shop.example', description: 'Where customers write to' }],
  },
)
export type VariableInput = Static<typeof VariableInput>

export const VariableParams = Type.Object({
  name: Type.String({ pattern: NAME, description: 'Letters, digits and `_`, up to 64; no digit in front' }),
})

export const DeleteQuery = Type.Object(
  {
    force: Type.Optional(
      Type.Boolean({ default: false, description: 'Also if flows read it: what they start then lacks it' }),
    ),
  },
  { additionalProperties: false },
)
