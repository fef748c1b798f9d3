import { type Static, Type } from '@sinclair/typebox'
import { MAX_CAUSATION_DEPTH } from '../intake/causation.ts'
import { Defaulted, Nullable, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 40, description })

const SOURCES = ['api', 'platform', 'cloudevents', 'plugin', 'system'] as const

const fields = {
  id: Type.String({ format: 'uuid', description: 'The `webhook-id` of its deliveries' }),
  source_id: Nullable(Type.String({ description: "The caller's own id" })),
  event: Type.String(),
  source: StringEnum(SOURCES, { description: 'By which way it came' }),
  publisher: Type.String({
    description:
      'Who says so: the slug of the plugin that published it by its own key, or `platform`: the platform, the shop or ' +
      'the service',
  }),
  publisher_plugin_id: Nullable(Type.String({ format: 'uuid', description: 'Of that plugin; null: none' })),
  key_id: Nullable(
    Type.String({
      format: 'uuid',
      description: 'The key that it was sent with; null: none, or that of the environment',
    }),
  ),
  timestamp: Timestamp,
  received_at: Timestamp,
  data: Type.Optional(Type.Unknown({ description: 'As it was written; absent when `body_gone` says why' })),
  cloudevent: Type.Optional(
    Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'Of a CloudEvent: its attributes, such as source, subject and extensions',
    }),
  ),
  body_gone: Type.Optional(Nullable(StringEnum(['expired', 'erased']))),
  schema_problems: Type.Optional(
    Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
      description: "Where the data does not match its type's schema",
    }),
  ),
  causation: Type.Optional(
    Type.Object({
      event_id: Nullable(
        Type.String({ format: 'uuid', description: 'The event that caused this one, if one did' }),
      ),
      depth: Type.Integer({
        description: 'Automations and deliveries between this event and a person or system',
      }),
      stopped: Type.Optional(
        Type.Boolean({
          description: `More than ${MAX_CAUSATION_DEPTH} of them: it was stored, and went to no plugin and no flow`,
        }),
      ),
    }),
  ),
}

export const FeedEvent = Type.Object(fields, { $id: 'Event' })
export type FeedEvent = Static<typeof FeedEvent>

export const EventPage = Type.Object(
  {
    data: Type.Array(ref(FeedEvent)),
    next_cursor: Type.String({ description: 'Where to go on, now or later: always given' }),
    has_more: Type.Boolean({ description: 'False: everything there is was read; come back later' }),
  },
  { $id: 'EventPage' },
)
export type EventPage = Static<typeof EventPage>

const EventDelivery = Type.Object({
  id: Type.String({ format: 'uuid' }),
  plugin: Type.String({ description: "The plugin's slug" }),
  status: StringEnum(['pending', 'sent', 'retry', 'failed']),
  reason: Nullable(Type.String({ description: 'Why it waits or ended' })),
  attempt_count: Type.Integer(),
  resend: Type.Integer({ description: '0, or which sending again of what had arrived it is' }),
  next_attempt_at: Nullable(Timestamp),
  behind: Nullable(
    Type.String({ format: 'uuid', description: 'The delivery of the same key that goes first' }),
  ),
  superseded_by: Nullable(
    Type.String({ format: 'uuid', description: 'The newer delivery of the same key that took its place' }),
  ),
  created_at: Timestamp,
  sent_at: Nullable(Timestamp),
  last_response_status: Nullable(Type.Integer()),
  last_error_class: Nullable(Type.String()),
})

/** Of one answer at most. */
export const MAX_STARTED = 50
export const MAX_CAUSED = 50

const EventExecution = Type.Object({
  id: Type.String({ format: 'uuid' }),
  flow_id: Type.String({ format: 'uuid' }),
  flow_name: Nullable(Type.String()),
  status: Type.String({ description: 'As the execution has it' }),
})

const EventCaused = Type.Object({
  id: Type.String({ format: 'uuid' }),
  event: Type.String({ description: 'Its type' }),
  publisher: Type.String({ description: 'Slug of the plugin that published it, or `platform`' }),
  received_at: Timestamp,
})

export const EventDetail = Type.Object(
  {
    ...fields,
    deliveries: Type.Array(EventDelivery, { description: 'A page of them, oldest first' }),
    next_cursor: Nullable(Type.String({ description: 'Of the deliveries; null on the last page' })),
    filtered: Type.Array(Type.Object({ plugin: Type.String({ description: "The plugin's slug" }) }), {
      description:
        'Plugins that were subscribed to the type when the event came, and whose filters it did not meet; at most ' +
        '100. `POST /api/plugins/{slug}/subscriptions/test` with the event says why',
    }),
    executions: Type.Array(EventExecution, {
      description:
        `The executions of flows that it started, the latest ${MAX_STARTED}; GET ` +
        "/api/automation/executions?event_id= lists all. None for a plugin's key",
    }),
    caused: Type.Array(EventCaused, {
      description: `The events that came of it by a delivery or a flow, the latest ${MAX_CAUSED}. None for a plugin's key`,
    }),
  },
  { $id: 'EventDetail' },
)
export type EventDetail = Static<typeof EventDetail>

export const FeedQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({
        maxLength: 512,
        description: '`next_cursor` of the page before. Default: the beginning',
      }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 512, description: 'The same as `after`' })),
    limit: Defaulted(Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Events a page' })),
    order: Defaulted(
      StringEnum(['asc', 'desc'], {
        default: 'asc',
        description: '`asc`: in the order of the feed, `desc`: the newest first',
      }),
    ),
    event: Type.Optional(
      Type.String({ maxLength: 128, description: 'An event type, or `product.*` for everything below it' }),
    ),
    source_id: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: "The caller's own id: that one event" }),
    ),
    source: Type.Optional(StringEnum(SOURCES, { description: 'By which way they came' })),
    plugin: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'Slug of the plugin that published them' }),
    ),
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: "An event's id or the caller's own, or its beginning",
      }),
    ),
    since: Type.Optional(Time('Received then or later')),
    until: Type.Optional(Time('Received before then')),
  },
  { additionalProperties: false },
)
export type FeedQuery = Static<typeof FeedQuery>

export const EventDetailQuery = Type.Object(
  {
    limit: Defaulted(
      Type.Integer({ minimum: 1, maximum: 1_000, default: 1_000, description: 'Deliveries a page' }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 512, description: '`next_cursor` of the page before' })),
  },
  { additionalProperties: false },
)
export type EventDetailQuery = Static<typeof EventDetailQuery>

export const EventParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 255, description: "The event's id, or the caller's own" }),
})

export const EventReplay = Type.Object(
  {
    plugin: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'Slug or id of one plugin. Default: every plugin that is subscribed now',
      }),
    ),
  },
  { $id: 'EventReplay', additionalProperties: false, examples: [{ plugin: 'email-marketing' }] },
)
export type EventReplay = Static<typeof EventReplay>

export const EventReplayResult = Type.Object(
  {
    event_id: Type.String({ format: 'uuid' }),
    deliveries: Type.Integer({ description: 'How many are due now' }),
    plugins: Type.Array(Type.String(), { description: 'Their slugs' }),
  },
  { $id: 'EventReplayResult' },
)
export type EventReplayResult = Static<typeof EventReplayResult>

export const FEED_SCHEMAS = [FeedEvent, EventPage, EventDetail, EventReplay, EventReplayResult] as const
