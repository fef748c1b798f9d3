import { type Static, Type } from '@sinclair/typebox'
import { EGRESS_ERROR_CLASSES } from '#infra/egress/index.ts'
import { ResponseStatusQuery, StatusesQuery, TimeRangeQuery } from '#infra/http/log-filters.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const DELIVERY_STATUSES = ['pending', 'sent', 'retry', 'failed'] as const

/** Why a delivery waits, told by its plugin as it is now. */
export const HOLD_REASONS = [
  'plugin_paused',
  'plugin_disabled',
  'secret_unreadable',
  'breaker_open',
  'retry_after',
] as const
/** Another delivery of its key goes first. */
export const BEHIND = 'behind'
/** It waits for newer ones of its key, of which only the newest is sent. */
export const COALESCING = 'coalescing'
/** Why a delivery waits or ended, as it is stored with it. */
const STORED_REASONS = [
  'manual_retry',
  'replay',
  'exhausted',
  'gone',
  'skipped',
  'unsubscribed',
  'superseded',
  'plugin_deleted',
  'erased',
  'body_gone',
  // Whether the plugin wants the event could not be told: its filter costs too much on the event's data.
  'filter_budget',
] as const
export const DELIVERY_REASONS = [...HOLD_REASONS, BEHIND, COALESCING, ...STORED_REASONS] as const
export type DeliveryReason = (typeof DELIVERY_REASONS)[number]

const ErrorClass = Nullable(
  StringEnum(EGRESS_ERROR_CLASSES, { description: 'What went wrong, see docs/webhooks.md' }),
)

const deliveryFields = {
  id: Type.String({ format: 'uuid' }),
  event_id: Type.String({ format: 'uuid', description: 'The `webhook-id` of every attempt' }),
  event: Type.String({ examples: ['product.created'] }),
  plugin: Type.String({ description: "The plugin's slug", examples: ['email-marketing'] }),
  status: StringEnum(DELIVERY_STATUSES),
  reason: Nullable(Type.String({ description: `Why it waits or ended: ${DELIVERY_REASONS.join(', ')}` })),
  attempt_count: Type.Integer(),
  resend: Type.Integer({
    description:
      '0; of what was sent again after it had arrived: for which time. Each is a delivery of its own',
  }),
  next_attempt_at: Nullable(
    Type.Unsafe<Date | string>({
      type: 'string',
      format: 'date-time',
      description:
        'When the next attempt can be made at the earliest, whatever holds the plugin; null: there is none, or nobody ' +
        'knows, as the plugin is paused or disabled or another delivery goes first',
    }),
  ),
  behind: Nullable(
    Type.String({
      format: 'uuid',
      description: 'The delivery of the same key that goes first, where the plugin has `ordering: key`',
    }),
  ),
  superseded_by: Nullable(
    Type.String({
      format: 'uuid',
      description:
        'The newer delivery of the same key that took its place, where the subscription has `coalesce`',
    }),
  ),
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
    request: Nullable(
      Type.Object(
        {
          method: Type.String(),
          url: Type.String(),
          headers: Type.Record(Type.String(), Type.String(), {
            description: "The signature and the values of the plugin's own headers are redacted",
          }),
          client_certificate: Type.Optional(
            Type.String({
              description:
                'The SHA-256 of the client certificate that the plugin has; absent: none was there to present',
            }),
          ),
        },
        { description: 'As it was sent, but for the body, which is the same for all attempts' },
      ),
    ),
  },
  { $id: 'DeliveryAttempt' },
)

export const DeliveryDetail = Type.Object(
  {
    ...deliveryFields,
    request_body: Nullable(
      Type.String({ description: 'What every attempt sends, as text; null once it aged out or was erased' }),
    ),
    attempts: Type.Array(ref(DeliveryAttempt), { description: 'Oldest first, the last 100' }),
  },
  { $id: 'DeliveryDetail' },
)

export const DeliveryPage = Page(ref(Delivery), 'DeliveryPage')

/** The filters of the log and of bulk retries, beside the status. */
export const DeliveryFilterFields = {
  plugin: Type.Optional(Type.String({ maxLength: 64, description: 'Slug' })),
  event: Type.Optional(
    Type.String({ maxLength: 128, description: 'An event type, or `order.*` for everything below it' }),
  ),
  event_id: Type.Optional(Type.String({ format: 'uuid', description: 'The `webhook-id`' })),
  ...TimeRangeQuery,
  error_class: Type.Optional(
    StringEnum(EGRESS_ERROR_CLASSES, { description: 'What went wrong at the last attempt' }),
  ),
  response_status: ResponseStatusQuery,
  reason: Type.Optional(StringEnum(DELIVERY_REASONS, { description: 'Why it waits or ended' })),
  attempt_count_min: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 2_147_483_647, description: 'At least so many attempts' }),
  ),
}

export const DeliveryQuery = Type.Object({
  ...PageQuery,
  status: StatusesQuery(DELIVERY_STATUSES),
  ...DeliveryFilterFields,
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
