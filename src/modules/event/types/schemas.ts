import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const OpenObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })

const name = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[A-Za-z0-9_/-]+(\\.[A-Za-z0-9_/-]+)*$',
  description: 'Lower-case segments joined by dots',
  examples: ['loyalty.points_earned'],
})

const SOURCES = ['platform', 'tenant', 'plugin', 'seen'] as const

/** Plugins and flows that are named with a type at most. */
export const MAX_USERS = 50

const EventTypeUsage = Type.Object(
  {
    last_seen_at: Nullable({
      ...Timestamp,
      description: 'When the last event of the type came; null: none is there',
    }),
    events_24h: Type.Integer({
      description: 'How many came in the last 24 hours; at most 1,000 are counted',
    }),
    plugins: Type.Array(Type.String(), {
      description: `Slugs of the plugins that are subscribed to it, at most ${MAX_USERS}`,
    }),
    flows: Type.Array(Type.Object({ id: Type.String({ format: 'uuid' }), name: Type.String() }), {
      description: `The active flows that it starts, at most ${MAX_USERS}`,
    }),
  },
  { description: 'What goes on with the type, if `include=usage` asks for it' },
)
export type EventTypeUsage = Static<typeof EventTypeUsage>

export const EventType = Type.Object(
  {
    name,
    category: Type.String({ description: "The name's first segment" }),
    source: StringEnum(SOURCES, {
      description: 'Who declared it; `seen`: nobody did, but events of the type came',
    }),
    plugin: Nullable(
      Type.String({ description: 'Slug of the plugin that declared it, or that it was first seen from' }),
    ),
    description: Nullable(Type.String()),
    entity: Nullable(
      Type.Object(
        {
          kind: Type.String({ examples: ['customer'] }),
          path: Type.String({
            description: 'The member of `data` that holds its id; flows read it as `trigger.<path>`',
            examples: ['customer_id'],
          }),
        },
        { description: 'What events of the type tell of. Null for types that tenants and plugins declare' },
      ),
    ),
    sample: Nullable(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description:
          "What `data` looks like. Of a seen type: the members of the first event's data, with placeholders for values",
      }),
    ),
    schema: Nullable(OpenObject),
    created_at: Nullable({ ...Timestamp, description: 'Of a seen type: when its first event came' }),
    updated_at: Nullable(Timestamp),
    usage: Type.Optional(EventTypeUsage),
  },
  { $id: 'EventType' },
)
export type EventType = Static<typeof EventType>

export const EventTypePage = Page(ref(EventType), 'EventTypePage')
export type EventTypePage = Static<typeof EventTypePage>

export const EventTypeInput = Type.Object(
  {
    description: Type.Optional(Nullable(Type.String({ maxLength: 1_000 }))),
    sample: Type.Optional(
      Nullable(
        Type.Unsafe<Record<string, unknown>>({
          type: 'object',
          additionalProperties: true,
          description: 'What `data` looks like; it has to match the schema. At most 64 KiB',
        }),
      ),
    ),
    schema: Type.Optional(
      Type.Unknown({
        description:
          'A JSON schema of `data`: type, properties, required, additionalProperties, items, enum, bounds and the ' +
          'formats date-time, email and uri; or shorthand such as { "points": "integer" }',
      }),
    ),
  },
  {
    $id: 'EventTypeInput',
    additionalProperties: false,
    examples: [
      {
        description: 'A customer has earned points',
        sample: { customer_id: 'cus_1', points: 25 },
        schema: { customer_id: 'string', points: 'integer' },
      },
    ],
  },
)
export type EventTypeInput = Static<typeof EventTypeInput>

const include = Type.Optional(StringEnum(['usage'], { description: 'Tell what goes on with each type, too' }))

export const EventTypeReadQuery = Type.Object({ include }, { additionalProperties: false })
export type EventTypeReadQuery = Static<typeof EventTypeReadQuery>

export const EventTypeQuery = Type.Object(
  {
    ...PageQuery,
    q: Type.Optional(Type.String({ maxLength: 100, description: 'Part of the name or the description' })),
    category: Type.Optional(Type.String({ maxLength: 128, description: "The name's first segment" })),
    source: Type.Optional(StringEnum(SOURCES, { description: 'Who declared it, or `seen`' })),
    include,
  },
  { additionalProperties: false },
)
export type EventTypeQuery = Static<typeof EventTypeQuery>

export const EventTypeParams = Type.Object({ name })

export const TYPE_SCHEMAS = [EventType, EventTypePage, EventTypeInput] as const
