import { type Static, Type } from '@sinclair/typebox'
import { Nullable, StringEnum } from '#lib/api/schema.ts'

const EXAMPLE_TOKEN = 'mYqQ0rVwEw3vQyqk3oZrO1M8sK6bH2tXJd9fLpAcNeU'

export const HookParams = Type.Object({ token: Type.String({ description: 'Of the inlet' }) })

/** What senders call the key that is constant over their attempts. */
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

export const HookReceipt = Type.Object(
  {
    execution_id: Nullable(
      Type.String({ format: 'uuid', description: "Null: the trigger's filter did not let it pass" }),
    ),
    status: StringEnum(['queued', 'skipped', 'filtered']),
    reason: Nullable(
      Type.String({
        description: 'Why it was skipped: `halted`, `not_active`, `rate_cap`, `already_active` …',
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
