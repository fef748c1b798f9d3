import { type Static, Type } from '@sinclair/typebox'
import { Nullable, ref, StringEnum } from '#lib/api/schema.ts'
import { Subscription } from '../settings/subscription.ts'

const Data = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: "What the event tells. Left out: the type's sample",
})

export const SubscriptionTrialInput = Type.Object(
  {
    event: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'An event type' })),
    data: Type.Optional(Data),
    event_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: "A past event, by its id or the caller's own, in place of event and data",
      }),
    ),
    events: Type.Optional(
      Type.Array(ref(Subscription), {
        maxItems: 100,
        description: "Subscriptions to try in place of the plugin's own",
      }),
    ),
  },
  {
    $id: 'SubscriptionTrialInput',
    additionalProperties: false,
    examples: [{ event: 'order.created', data: { total: 79.8 } }],
  },
)
export type SubscriptionTrialInput = Static<typeof SubscriptionTrialInput>

const TriedTest = Type.Object({
  pointer: Type.String({ description: 'Where it stands in the subscription' }),
  field: Type.String(),
  operator: Type.String(),
  value: Type.Optional(Type.Unknown()),
  holds: Type.Boolean({ description: 'Of this test alone' }),
  present: Type.Boolean({ description: 'The event has that field' }),
  found: Type.Optional(Type.Unknown({ description: 'What stands there' })),
  notes: Type.Optional(Type.Array(Type.String(), { description: 'Why it could not be made' })),
})

const TriedSubscription = Type.Object({
  event: Type.String({ description: 'The pattern' }),
  filter: Type.Optional(Type.Unknown()),
  matches: Type.Boolean(),
  reason: Nullable(
    StringEnum(['other_type', 'filtered'], {
      description: 'Why it does not take the event: it is for other types, or its filter says no',
    }),
  ),
  tests: Type.Array(TriedTest, { description: 'The tests of its filter, each for itself' }),
})

export const SubscriptionTrial = Type.Object(
  {
    event: Type.String(),
    event_id: Nullable(Type.String({ format: 'uuid' })),
    data_from: StringEnum(['given', 'sample', 'event']),
    matches: Type.Boolean({ description: 'The plugin would get the event' }),
    reason: Nullable(
      StringEnum(['not_subscribed', 'filtered', 'own'], {
        description: 'Why not; own: it published the event itself. Null: it would get it',
      }),
    ),
    subscriptions: Type.Array(TriedSubscription, { description: 'In the order of `events`' }),
    warnings: Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
      description: 'Fields that no such event has, as far as its type is described',
    }),
  },
  { $id: 'SubscriptionTrial' },
)
export type SubscriptionTrial = Static<typeof SubscriptionTrial>
