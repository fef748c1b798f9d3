import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Timestamp } from '#lib/api/schema.ts'

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

export const ResumeInput = Type.Object(
  {
    catch_up: Defaulted(
      Type.Boolean({
        default: true,
        description:
          'Whether what active flows have missed meanwhile starts now, each once and in order; else it stays `skipped`, and ' +
          'POST /api/automation/flows/{id}/catch-up takes it up',
      }),
    ),
  },
  { $id: 'ResumeInput', additionalProperties: false, default: {}, examples: [{ catch_up: false }] },
)
export const ResumeResult = Type.Object(
  {
    ...HaltState.properties,
    missed: Type.Integer({ description: 'Starts that were missed while automations were halted' }),
    taken_up: Type.Integer({ description: 'How many of them start now, before anything newer does' }),
  },
  { $id: 'ResumeResult' },
)
export type ResumeResult = Static<typeof ResumeResult>
