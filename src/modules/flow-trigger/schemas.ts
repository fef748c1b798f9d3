import { type Static, Type } from '@sinclair/typebox'
import { ANSWER_HEADERS, Nullable, StringEnum } from '#lib/api/schema.ts'

const EXAMPLE_TOKEN = 'mYqQ0rVwEw3vQyqk3oZrO1M8sK6bH2tXJd9fLpAcNeU'

export const HookParams = Type.Object({ token: Type.String({ description: 'Of the inlet' }) })

/** The parameters of WebSub's hubs and of Meta. */
export const ChallengeQuery = Type.Object(
  Object.fromEntries(
    ['hub.mode', 'hub.challenge', 'hub.topic', 'hub.verify_token', 'hub.lease_seconds'].map((name) => [
      name,
      Type.Optional(Type.String()),
    ]),
  ),
)

/** The names that senders have for the key that is constant over their attempts. */
export const HookHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'Requests with the same key start one execution, and all have its answer',
    }),
  ),
  'webhook-id': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description: 'The same for senders of Standard Webhooks, where there is no Idempotency-Key',
    }),
  ),
})

export const HookBody = Type.Unknown({
  description: "Any JSON: the execution's `trigger`",
  examples: [{ order: { id: 'ord_1042', total: 99.5 } }],
})

export const HookForm = Type.Unknown({
  description: 'A form: an object of its fields',
  examples: [{ email: 'rui@example.com' }],
})
export const HookParts = Type.Unknown({
  description: 'The same; of files name, type and size',
  examples: [{ email: 'rui@example.com' }],
})
export const HookText = Type.Unknown({
  description: 'Text; also `text/csv` and `text/xml`',
  examples: ['ord_1042 is paid'],
})

/** An answer that is no JSON of this API. */
export const PlainAnswer = {
  headers: { 'content-security-policy': ANSWER_HEADERS['content-security-policy'] },
  content: {
    'text/plain': { schema: { type: 'string' } },
    'application/json': { schema: {} },
    'application/xml': { schema: { type: 'string' } },
    'text/xml': { schema: { type: 'string' } },
  },
} as const

export const HookReceipt = Type.Object(
  {
    execution_id: Nullable(
      Type.String({ format: 'uuid', description: "Null: the trigger's filter did not let it pass" }),
    ),
    status: StringEnum(['queued', 'skipped', 'filtered']),
    reason: Nullable(
      Type.String({
        description:
          'Why it was skipped: `paused`, `not_active` and `halted` are kept, and start when they are taken up, as does ' +
          '`catch_up`; `rate_cap`, `already_active` … are not',
      }),
    ),
  },
  { $id: 'HookReceipt' },
)

export const InletParams = Type.Object({
  id: Type.String({ format: 'uuid', description: 'The flow' }),
  trigger_id: Type.String({ maxLength: 64, description: 'Its webhook trigger' }),
})

export const Inlet = Type.Object(
  {
    trigger_id: Type.String(),
    url: Type.String({
      description: 'Whoever knows it can start the flow. Without PUBLIC_URL it is a path of this service',
    }),
  },
  {
    $id: 'Inlet',
    examples: [{ trigger_id: 'trigger_1', url: `https://automation.example.com/hooks/${EXAMPLE_TOKEN}` }],
  },
)
export type Inlet = Static<typeof Inlet>
