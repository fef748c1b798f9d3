import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { DeliveryFilterFields } from '../log/schemas.ts'

const RETRYABLE = ['failed', 'retry'] as const
const Uuid = Type.String({ format: 'uuid', maxLength: 36 })

export const NewDeliveryRetry = Type.Object(
  {
    status: Type.Optional(
      Type.Array(StringEnum(RETRYABLE), {
        minItems: 1,
        maxItems: RETRYABLE.length,
        uniqueItems: true,
        description: 'Left out: `failed`. What was sent is sent again by a replay',
      }),
    ),
    ...DeliveryFilterFields,
    dry_run: Defaulted(Type.Boolean({ default: false, description: 'Count only: nothing is queued' })),
  },
  {
    $id: 'NewDeliveryRetry',
    additionalProperties: false,
    examples: [
      { since: '2026-05-01T00:00:00Z', response_status: '5xx', dry_run: true },
      { event: 'order.*' },
    ],
  },
)
export type NewDeliveryRetry = Static<typeof NewDeliveryRetry>

export const DeliveryRetryEstimate = Type.Object(
  {
    count: Type.Integer({ description: 'Deliveries that would be queued' }),
    skipped: Type.Integer({ description: 'Deliveries whose body is gone or whose plugin was deleted' }),
    plugins: Type.Array(
      Type.Object({ plugin: Type.String({ description: "The plugin's slug" }), count: Type.Integer() }),
      { description: 'The same by plugin, the most first; at most 100' },
    ),
    complete: Type.Boolean({ description: 'False: there are more, 50,000 are looked at' }),
  },
  { $id: 'DeliveryRetryEstimate' },
)
export type DeliveryRetryEstimate = Static<typeof DeliveryRetryEstimate>

export const DeliveryRetry = Type.Object(
  {
    id: Uuid,
    plugin: Nullable(Type.String({ description: 'Slug of the plugin that it stays inside of; null: any' })),
    filter: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'What was asked for',
    }),
    status: StringEnum(['queued', 'running', 'completed', 'cancelled', 'failed']),
    queued: Type.Integer({ description: 'Deliveries that were queued so far' }),
    skipped: Type.Integer({
      description: 'Deliveries that could not be: body gone, plugin deleted, or under way just then',
    }),
    error: Nullable(Type.String({ description: 'Why it did not complete' })),
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { $id: 'DeliveryRetry', description: 'Deliveries that a filter chooses, sent again as a durable job' },
)
export type DeliveryRetry = Static<typeof DeliveryRetry>

export const DeliveryRetryPage = Page(ref(DeliveryRetry), 'DeliveryRetryPage')
export const DeliveryRetryQuery = Type.Object(PageQuery, { additionalProperties: false })
export const DeliveryRetryParams = Type.Object({ id: Uuid })
