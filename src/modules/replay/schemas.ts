import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const REPLAYED_STATUSES = ['pending', 'sent', 'retry', 'failed', 'undelivered'] as const
export const JOB_STATUSES = ['queued', 'running', 'completed', 'cancelled', 'failed'] as const

export const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 40, description })
/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
export const Uuid = Type.String({ format: 'uuid', maxLength: 36 })

export const NewReplay = Type.Object(
  {
    since: Type.Optional(Time('Events received then or later. Left out: from the first')),
    until: Type.Optional(Time('Events received before then. Left out, or in the future: now')),
    event: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'Only events of this type: `order.created`, `order.*` or `*`',
      }),
    ),
    status: Type.Optional(
      StringEnum(REPLAYED_STATUSES, {
        description:
          'Only deliveries that exist and have this status. `undelivered`: events that the plugin subscribes to now, ' +
          'has never got and that do not wait. Left out: every event that the plugin subscribes to now',
      }),
    ),
    dry_run: Defaulted(Type.Boolean({ default: false, description: 'Count only: nothing is queued' })),
  },
  {
    $id: 'NewReplay',
    additionalProperties: false,
    examples: [{ since: '2026-05-01T00:00:00Z', event: 'order.*', dry_run: true }, { status: 'failed' }],
  },
)
export type NewReplay = Static<typeof NewReplay>

export const Replay = Type.Object(
  {
    id: Uuid,
    plugin: Type.String({ description: "The plugin's slug" }),
    status: StringEnum(JOB_STATUSES),
    since: Nullable(Timestamp),
    until: Timestamp,
    event: Nullable(Type.String()),
    delivery_status: Nullable(
      StringEnum(REPLAYED_STATUSES, { description: 'The `status` that was asked for' }),
    ),
    dry_run: Type.Boolean({ description: 'It only counts: by a recovery that does' }),
    recovery: Nullable(
      Type.String({ format: 'uuid', maxLength: 36, description: 'The recovery that it is a part of' }),
    ),
    scanned: Type.Integer({ description: 'Events that were looked at so far' }),
    queued: Type.Integer({ description: 'Deliveries that were queued so far, or would have been' }),
    skipped: Type.Integer({
      description:
        'Events that cannot be delivered again: their bodies have aged out or were erased, or the filter of the ' +
        'subscription costs too much on them',
    }),
    error: Nullable(Type.String({ description: 'Why it did not complete' })),
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { $id: 'Replay' },
)
export type Replay = Static<typeof Replay>

export const ReplayEstimate = Type.Object(
  {
    count: Type.Integer({ description: 'Deliveries that the replay would queue' }),
    skipped: Type.Integer({
      description: 'Events whose bodies are gone, or on which the filter costs too much',
    }),
    scanned: Type.Integer({ description: 'Events that were looked at' }),
    complete: Type.Boolean({
      description: 'False: counting took too long, there are more events than were looked at',
    }),
  },
  { $id: 'ReplayEstimate' },
)
export type ReplayEstimate = Static<typeof ReplayEstimate>

export const ReplayPage = Page(ref(Replay), 'ReplayPage')

export const PluginSlugParams = Type.Object({ slug: Type.String() })
export const ReplayParams = Type.Object({ id: Uuid })
export const ReplayQuery = Type.Object(
  {
    ...PageQuery,
    plugin: Type.Optional(
      Type.String({ minLength: 1, maxLength: 63, pattern: '^[a-z0-9-]+$', description: "A plugin's slug" }),
    ),
  },
  { additionalProperties: false },
)
export type ReplayQuery = Static<typeof ReplayQuery>
