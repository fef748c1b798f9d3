import { type Static, Type } from '@sinclair/typebox'
import { EGRESS_ERROR_CLASSES } from '#infra/egress/index.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const DELIVERY_STATUSES = ['pending', 'sent', 'retry', 'failed'] as const

const ErrorClass = Nullable(
  StringEnum(EGRESS_ERROR_CLASSES, { description: 'What went wrong, see docs/webhooks.md' }),
)

const deliveryFields = {
  id: Type.String({ format: 'uuid' }),
  event_id: Type.String({ format: 'uuid', description: 'The `webhook-id` of every attempt' }),
  event: Type.String({ examples: ['product.created'] }),
  plugin: Type.String({ description: "The plugin's slug", examples: ['email-marketing'] }),
  status: StringEnum(DELIVERY_STATUSES),
  reason: Nullable(
    Type.String({
      description:
        'Why it waits or ended: plugin_paused, plugin_disabled, secret_unreadable, breaker_open, retry_after, manual_retry, ' +
        'replay, exhausted, gone, skipped, plugin_deleted, erased, body_gone',
    }),
  ),
  attempt_count: Type.Integer(),
  next_attempt_at: Nullable(Timestamp),
  created_at: Timestamp,
  sent_at: Nullable(Timestamp),
  last_response_status: Nullable(Type.Integer()),
  last_error_class: ErrorClass,
}

export const Delivery = Type.Object(deliveryFields, { $id: 'Delivery' })

export const DeliveryAttempt = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    started_at: Timestamp,
    duration_ms: Type.Integer(),
    response_status: Nullable(Type.Integer()),
    error_class: ErrorClass,
    error_detail: Nullable(Type.String()),
    response_headers: Nullable(Type.Record(Type.String(), Type.String())),
    response_body: Nullable(Type.String({ description: 'At most 16 KB, as text' })),
    response_truncated: Type.Boolean(),
  },
  { $id: 'DeliveryAttempt' },
)

export const DeliveryDetail = Type.Object(
  {
    ...deliveryFields,
    attempts: Type.Array(ref(DeliveryAttempt), { description: 'Oldest first, the last 100' }),
  },
  { $id: 'DeliveryDetail' },
)

export const DeliveryPage = Page(ref(Delivery), 'DeliveryPage')

export const DeliveryQuery = Type.Object({
  ...PageQuery,
  status: Type.Optional(StringEnum(DELIVERY_STATUSES)),
  plugin: Type.Optional(Type.String({ maxLength: 64, description: 'Slug' })),
  event: Type.Optional(Type.String({ maxLength: 128, description: 'Event type' })),
})
export type DeliveryQuery = Static<typeof DeliveryQuery>

export const DeliveryParams = Type.Object({ id: Type.String({ format: 'uuid' }) })

export const ProcessedCounts = Type.Object(
  {
    processed: Type.Integer({ description: 'Attempts that this call made' }),
    sent: Type.Integer(),
    retried: Type.Integer(),
    failed: Type.Integer(),
  },
  { $id: 'ProcessedCounts' },
)
