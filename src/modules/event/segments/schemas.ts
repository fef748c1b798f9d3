import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const segment = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[a-z0-9_]+$',
  description: 'What event types begin with, up to the first dot: lower case, underscores for hyphens',
  examples: ['email'],
})

export const EventSegment = Type.Object(
  {
    segment,
    owner: StringEnum(['plugin', 'shop'], {
      description: "`shop`: no plugin's, and none claims it",
    }),
    plugin_id: Nullable(Type.String({ format: 'uuid' })),
    plugin: Nullable(Type.String({ description: "The plugin's slug" })),
    claimed_at: Timestamp,
  },
  { $id: 'EventSegment' },
)
export type EventSegment = Static<typeof EventSegment>

export const EventSegmentPage = Page(ref(EventSegment), 'EventSegmentPage')
export type EventSegmentPage = Static<typeof EventSegmentPage>

export const EventSegmentInput = Type.Object(
  {
    plugin: Nullable(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description: "Slug or id of the plugin that publishes below it; null: it is the shop's own",
      }),
    ),
  },
  { $id: 'EventSegmentInput', additionalProperties: false, examples: [{ plugin: null }] },
)
export type EventSegmentInput = Static<typeof EventSegmentInput>

export const EventSegmentQuery = Type.Object({ ...PageQuery }, { additionalProperties: false })
export type EventSegmentQuery = Static<typeof EventSegmentQuery>

export const EventSegmentParams = Type.Object({ segment })

export const SEGMENT_SCHEMAS = [EventSegment, EventSegmentPage, EventSegmentInput] as const
