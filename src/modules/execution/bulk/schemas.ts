import { type Static, Type } from '@sinclair/typebox'
import { Nullable, StringEnum } from '#lib/api/schema.ts'
import { ExecutionFilterFields, RetryInput } from '../read/schemas.ts'

export const CANCELLABLE = ['queued', 'waiting', 'running'] as const
const RETRYABLE = ['failed', 'timed_out', 'cancelled', 'skipped'] as const

const dry_run = Type.Optional(Type.Boolean({ default: false, description: 'Count only: nothing is changed' }))
const statuses = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Optional(
    Type.Array(StringEnum(values), { minItems: 1, maxItems: values.length, uniqueItems: true, description }),
  )

export const BulkCancelInput = Type.Object(
  {
    ...ExecutionFilterFields,
    status: statuses(CANCELLABLE, 'Left out: all that have not ended'),
    dry_run,
  },
  {
    $id: 'BulkCancelInput',
    additionalProperties: false,
    examples: [{ flow: '0190f2a4-5b7e-7c3d-9a41-2f6f0c1d8e55', status: ['waiting'], dry_run: true }],
  },
)
export type BulkCancelInput = Static<typeof BulkCancelInput>

export const BulkRetryInput = Type.Object(
  {
    ...ExecutionFilterFields,
    status: statuses(RETRYABLE, 'Left out: `failed`'),
    dry_run,
    from: RetryInput.properties.from,
    version: RetryInput.properties.version,
    cursor: Type.Optional(Type.String({ maxLength: 512, description: '`next_cursor` of the answer before' })),
  },
  {
    $id: 'BulkRetryInput',
    additionalProperties: false,
    examples: [{ since: '2026-05-01T00:00:00Z', status: ['failed', 'timed_out'], dry_run: true }],
  },
)
export type BulkRetryInput = Static<typeof BulkRetryInput>

const remaining = Type.Integer({
  description: 'Executions that the filter still chooses, at most 100,000 are counted',
})

export const BulkCancelResult = Type.Object(
  {
    cancelled: Type.Integer({ description: 'Ended, or, where they run, ending at their next step' }),
    remaining,
  },
  { $id: 'BulkCancelResult' },
)
export type BulkCancelResult = Static<typeof BulkCancelResult>

export const BulkRetryResult = Type.Object(
  {
    retried: Type.Integer(),
    refused: Type.Array(Type.Object({ reason: Type.String(), count: Type.Integer() }), {
      description: 'What could not be retried, by why',
    }),
    remaining,
    next_cursor: Nullable(Type.String({ description: 'Where to go on; null: there are no more' })),
  },
  { $id: 'BulkRetryResult' },
)
export type BulkRetryResult = Static<typeof BulkRetryResult>
