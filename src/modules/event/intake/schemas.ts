import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Problem, ref, StringEnum } from '#lib/api/schema.ts'
import { MAX_STORED_DEPTH } from './causation.ts'

const OpenObject = (description: string) =>
  Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true, description })

const event = Type.String({
  maxLength: 128,
  pattern: '^[a-z0-9_]+(\\.[a-z0-9_]+)*$',
  description: 'What happened: lower-case segments joined by dots',
  examples: ['product.created'],
})
const timestamp = Type.String({
  format: 'date-time',
  description: 'When it happened, RFC 3339, with the zone. Default: now',
})
const tenant_id = Type.String({
  format: 'uuid',
  description: 'Default: the tenant of the key or of X-Tenant-Id',
})

const sourceId = Type.String({
  minLength: 1,
  maxLength: 255,
  description:
    "The caller's own id, unique among those of its plugin's key, or of the platform and the shop: the same event again is answered with the first one's result",
})

const causationToken = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[A-Za-z0-9_-]+$',
  description:
    "The `x-causation-token` that came beside them: without it id and depth are not believed of a plugin's key",
})

const causation = Type.Object(
  {
    id: Type.Optional(
      Nullable(
        Type.String({ format: 'uuid', description: 'The `x-causation-id` that the action was called with' }),
      ),
    ),
    depth: Type.Integer({
      minimum: 0,
      maximum: MAX_STORED_DEPTH,
      description: 'The `x-causation-depth` that the action was called with',
    }),
    token: Type.Optional(causationToken),
  },
  {
    additionalProperties: false,
    description:
      'Of an event that an action caused; beside it, headers of these names stand for all events of a request',
  },
)

/** Read by request.ts and causation.ts, for the whole request. */
export const IntakeHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description:
        'The `id` of a single event that has none in its body: the same event again is answered with the first ' +
        "one's result. Refused beside a batch, whose events each have their own",
    }),
  ),
  'x-causation-id': Type.Optional(
    Type.String({ format: 'uuid', description: 'As the action was called with that caused the events' }),
  ),
  'x-causation-depth': Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: MAX_STORED_DEPTH,
      description: 'Likewise; required beside the id',
    }),
  ),
  'x-causation-token': Type.Optional(causationToken),
})

const CUSTOMER_CREATED = {
  id: 'evt_7f3a',
  event: 'customer.created',
  timestamp: '2026-03-02T14:01:12Z',
  data: { customer_id: 'cus_1', email: 'grace@example.com', name: 'Grace' },
}
const ORDER_CREATED = {
  id: 'evt_7f3b',
  event: 'order.created',
  data: { order_id: 'ord_1042', customer_id: 'cus_1', total: 99.5 },
}

/** The bodies are described by these and checked by parse.ts. */
export const EventInput = Type.Object(
  {
    event,
    data: OpenObject('Delivered as it is: no number and no text is altered'),
    id: Type.Optional(sourceId),
    timestamp: Type.Optional(timestamp),
    tenant_id: Type.Optional(tenant_id),
    causation: Type.Optional(causation),
  },
  { $id: 'EventInput', additionalProperties: false, examples: [CUSTOMER_CREATED] },
)

export const MAX_BATCH_EVENTS = 1_000

export const EventBatchInput = Type.Object(
  { events: Type.Array(ref(EventInput), { minItems: 1, maxItems: MAX_BATCH_EVENTS }) },
  {
    $id: 'EventBatchInput',
    additionalProperties: false,
    examples: [{ events: [CUSTOMER_CREATED, ORDER_CREATED] }],
  },
)

export const CloudEvent = Type.Object(
  {
    specversion: Type.Literal('1.0'),
    id: Type.String({ minLength: 1 }),
    source: Type.String({ minLength: 1, description: 'Unique together with id' }),
    type: Type.String({
      maxLength: 128,
      pattern: '^[A-Za-z0-9_/-]+(\\.[A-Za-z0-9_/-]+)*$',
      description: 'What happened; capitals, hyphens and slashes are welcome',
      examples: ['com.github.pull-request.Opened'],
    }),
    subject: Type.Optional(Type.String({ minLength: 1, description: 'What of the source it is about' })),
    time: Type.Optional(timestamp),
    dataschema: Type.Optional(Type.String({ minLength: 1 })),
    datacontenttype: Type.Optional(Type.String({ description: 'A JSON type, if any' })),
    data: Type.Optional(OpenObject("The event's data; {} by default")),
    causationid: Type.Optional(Type.String({ format: 'uuid', description: 'As `x-causation-id`' })),
    causationdepth: Type.Optional(
      Type.Integer({ minimum: 0, maximum: MAX_STORED_DEPTH, description: 'As `x-causation-depth`' }),
    ),
    causationtoken: Type.Optional(causationToken),
  },
  {
    $id: 'CloudEvent',
    additionalProperties: true,
    description: 'CloudEvents 1.0, JSON format. Extensions are kept, shown and delivered, as `cloudevent`',
    examples: [
      {
        specversion: '1.0',
        id: 'evt_7f3c',
        source: '/shops/linen',
        type: ORDER_CREATED.event,
        time: '2026-03-02T14:01:12Z',
        data: ORDER_CREATED.data,
      },
    ],
  },
)

export const AutomationWebhook = Type.Object(
  {
    event_type: event,
    payload: OpenObject('What happened'),
    id: Type.Optional(sourceId),
    timestamp: Type.Optional(timestamp),
    tenant_id: Type.Optional(tenant_id),
    causation: Type.Optional(causation),
  },
  {
    $id: 'AutomationWebhook',
    additionalProperties: true,
    description: 'Members that are not described here are ignored',
    examples: [
      {
        event_type: 'product.created',
        payload: { product_id: 'prod_8Qk2Zt', name: 'Linen apron', price: 39.9, status: 'active' },
      },
    ],
  },
)

export const AcceptedEvent = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    source_id: Nullable(Type.String({ description: "The caller's own id" })),
    event: Type.String(),
    duplicate: Type.Boolean({ description: 'It had come before: nothing was stored or queued again' }),
    deliveries: Type.Integer({ description: 'How many plugins it goes to' }),
  },
  { $id: 'AcceptedEvent' },
)
export type AcceptedEvent = Static<typeof AcceptedEvent>

export const EventBatchResult = Type.Object(
  {
    summary: Type.Object(
      { accepted: Type.Integer(), duplicate: Type.Integer(), rejected: Type.Integer() },
      { description: 'How many events ended in each way' },
    ),
    results: Type.Array(
      Type.Object({
        index: Type.Integer(),
        status: StringEnum(['accepted', 'duplicate', 'rejected']),
        id: Type.Optional(Type.String({ format: 'uuid' })),
        source_id: Type.Optional(Type.String()),
        deliveries: Type.Optional(Type.Integer()),
        problem: Type.Optional(ref(Problem)),
      }),
      { description: 'One for each event, in order' },
    ),
  },
  { $id: 'EventBatchResult' },
)
export type EventBatchResult = Static<typeof EventBatchResult>

export const INTAKE_SCHEMAS = [
  AcceptedEvent,
  AutomationWebhook,
  CloudEvent,
  EventInput,
  EventBatchInput,
  EventBatchResult,
] as const
