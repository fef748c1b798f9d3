import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
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

const job_id = Nullable(
  Type.String({
    format: 'uuid',
    description:
      'The job that does the rest: GET /api/automation/bulk-changes/{id}; null: nothing is left to one',
  }),
)

const Refused = Type.Array(Type.Object({ reason: Type.String(), count: Type.Integer() }), {
  description: 'What could not be retried, by why',
})

export const BulkChange = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    kind: StringEnum(['cancel', 'retry']),
    status: StringEnum(['queued', 'running', 'completed', 'cancelled', 'failed']),
    done: Type.Integer({
      description:
        'Executions that it has cancelled or retried so far; retries wait while the shop has as many executions as it may',
    }),
    refused: Refused,
    error: Nullable(Type.String({ description: 'Why it did not complete' })),
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { $id: 'BulkChange', description: 'The rest of a bulk cancel or retry, as a durable job' },
)
export type BulkChange = Static<typeof BulkChange>

export const BulkChangePage = Page(ref(BulkChange), 'BulkChangePage')
export const BulkChangeParams = Type.Object({ id: Type.String({ format: 'uuid', maxLength: 36 }) })

export const BulkCancelResult = Type.Object(
  {
    cancelled: Type.Integer({ description: 'Ended, or, where they run, ending at their next step' }),
    remaining,
    job_id,
  },
  { $id: 'BulkCancelResult' },
)
export type BulkCancelResult = Static<typeof BulkCancelResult>

export const BulkRetryResult = Type.Object(
  {
    retried: Type.Integer(),
    refused: Refused,
    remaining,
    job_id,
    next_cursor: Nullable(
      Type.String({ description: 'Where to go on; null: there are no more, or a job does the rest' }),
    ),
  },
  { $id: 'BulkRetryResult' },
)
export type BulkRetryResult = Static<typeof BulkRetryResult>
