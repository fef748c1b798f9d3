import { type Static, Type } from '@sinclair/typebox'
import { MESSAGE_CHANNELS, MESSAGE_FORMATS } from '#lib/flow/types.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { FALLBACK_REASONS } from './fallback.ts'

const MESSAGE_STATUSES = ['pending', 'sent', 'failed'] as const

export const Message = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    execution_id: Type.String({ format: 'uuid' }),
    step_id: Type.String(),
    iteration: Type.String({ description: 'The item of the loop; empty outside of loops' }),
    channel: StringEnum(MESSAGE_CHANNELS),
    to: Nullable(Type.String({ description: 'Null: everybody who gets the notifications of the shop' })),
    subject: Nullable(Type.String()),
    body: Type.String({ description: 'As it is sent, however often that is tried' }),
    format: StringEnum(MESSAGE_FORMATS, { description: 'What the body is' }),
    source: StringEnum(['template', 'ai'], { description: 'What wrote the body' }),
    model: Nullable(Type.String({ description: 'Of `ai`' })),
    fallback_reason: Nullable(
      StringEnum(FALLBACK_REASONS, {
        description: 'Why the template was used although an AI was to be asked',
      }),
    ),
    fallback_detail: Nullable(
      Type.String({ description: "What was wrong, the API's own words among it, without secrets" }),
    ),
    status: StringEnum(MESSAGE_STATUSES, {
      description:
        '`pending`: its step is not over. `sent`: whoever sends it took it. `failed`: the step failed; its execution says why',
    }),
    created_at: Timestamp,
  },
  { $id: 'Message' },
)
export type Message = Static<typeof Message>

export const MessagePage = Page(ref(Message), 'MessagePage')

export const MessageQuery = Type.Object(
  {
    ...PageQuery,
    execution: Type.Optional(Type.String({ format: 'uuid', description: 'Of this execution' })),
    channel: Type.Optional(StringEnum(MESSAGE_CHANNELS)),
    flow: Type.Optional(
      Type.String({ format: 'uuid', maxLength: 36, description: 'Of executions of this flow' }),
    ),
    recipient: Type.Optional(
      Type.String({ minLength: 1, maxLength: 500, description: 'To exactly this address or person' }),
    ),
    since: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'From then on' })),
    until: Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description: 'Before then' })),
  },
  { additionalProperties: false },
)
export type MessageQuery = Static<typeof MessageQuery>

export const MessageParams = Type.Object({ id: Type.String({ format: 'uuid' }) })
