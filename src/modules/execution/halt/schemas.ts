import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Timestamp } from '#lib/api/schema.ts'

export const HaltState = Type.Object(
  { halted: Type.Boolean(), halted_at: Nullable(Timestamp) },
  { $id: 'HaltState' },
)
export type HaltState = Static<typeof HaltState>

export const HaltResult = Type.Object(
  {
    ...HaltState.properties,
    cancelled: Type.Integer({ description: 'Executions that were queued and had not begun' }),
    complete: Type.Boolean({
      description: 'False: there are more of them. Halting again goes on; none of them starts',
    }),
  },
  { $id: 'HaltResult' },
)
export type HaltResult = Static<typeof HaltResult>
