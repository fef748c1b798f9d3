import { type Static, Type } from '@sinclair/typebox'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { Nullable, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import {
  ACTION_DETAILS,
  ActionBreakSchema,
  ActionType,
  RegistryActionSchema,
} from '#modules/registry/index.ts'

export const VALUE_TYPES = ['string', 'number', 'integer', 'boolean', 'date-time', 'array', 'object'] as const

const EVENT_OWNERS = ['platform', 'plugin', 'other'] as const

/** Postgres cannot take NUL as text. */
const NO_NUL = '^[^\\u0000]*$'

const id = Type.String({ minLength: 1, maxLength: 100, pattern: '^[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*$' })
const name = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })
const description = Type.Optional(Type.String({ maxLength: 2000 }))
const eventType = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[a-z0-9_]+(\\.[a-z0-9_]+)*$',
  examples: ['loyalty.points_earned'],
})

const TriggerInput = Type.Object(
  {
    id,
    name,
    description,
    event_types: Type.Array(eventType, {
      minItems: 1,
      maxItems: 50,
      uniqueItems: true,
      description:
        "Event types that start a flow. Those that nobody else has are the plugin's own, which its key may publish; " +
        "the platform's, the shop's and other plugins' are only offered",
    }),
    output_schema: Type.Optional(
      Type.Unknown({
        description: 'A JSON schema of the events\' data, or shorthand such as { "points": "integer" }',
      }),
    ),
  },
  { additionalProperties: false },
)

const ActionInput = Type.Object(
  { id: ActionType, name, description, ...ACTION_DETAILS },
  { additionalProperties: false },
)

const ConditionInput = Type.Object(
  {
    id,
    name,
    description,
    path: Type.Optional(
      Nullable(
        Type.String({
          minLength: 1,
          maxLength: 512,
          description:
            'Where the value is: customer.points. Left out or null: whoever builds the flow says it',
        }),
      ),
    ),
    operators: Type.Array(Type.String({ maxLength: 64 }), {
      minItems: 1,
      maxItems: 50,
      uniqueItems: true,
      description: 'Operators of conditions that make sense for it',
    }),
    value_type: StringEnum(VALUE_TYPES),
  },
  { additionalProperties: false },
)

const LISTS = {
  triggers: Type.Optional(Type.Array(TriggerInput, { maxItems: 100 })),
  actions: Type.Optional(Type.Array(ActionInput, { maxItems: 200 })),
  conditions: Type.Optional(Type.Array(ConditionInput, { maxItems: 100 })),
}

export const CapabilityManifest = Type.Object(
  {
    name: Type.Optional(name),
    slug: Type.Optional(Type.String({ maxLength: 63 })),
    version: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    description,
    capabilities: Type.Optional(
      Type.Object(LISTS, { additionalProperties: false, description: 'As in plugin.json, beside a name' }),
    ),
    ...LISTS,
    health: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, pattern: NO_NUL, examples: ['healthy'] }),
    ),
    last_updated: Type.Optional(Type.String({ format: 'date-time' })),
  },
  {
    $id: 'CapabilityManifest',
    additionalProperties: false,
    description:
      "A plugin's plugin.json, or what its /api/capabilities answers: the same lists without `capabilities` around " +
      'them, and no name. At most 256 KiB. `health` and `last_updated` are kept as the plugin says them',
    examples: [
      {
        name: 'Loyalty',
        slug: 'loyalty',
        version: '1.2.0',
        capabilities: {
          triggers: [
            {
              id: 'points_earned',
              name: 'Points earned',
              description: 'A customer has earned points.',
              event_types: ['loyalty.points_earned'],
              output_schema: { customer_id: 'string', points: { type: 'integer', required: true } },
            },
          ],
          actions: [
            {
              id: 'award_points',
              name: 'Award points',
              description: 'Adds points to a customer.',
              endpoint: '/actions/award-points',
              method: 'POST',
              input_schema: {
                customer_id: { type: 'string', required: true },
                points: { type: 'integer', required: true },
              },
              output_schema: { balance: 'integer' },
            },
          ],
          conditions: [
            {
              id: 'tier',
              name: 'Loyalty tier',
              description: "The customer's tier.",
              path: 'customer.loyalty.tier',
              operators: ['equals', 'in'],
              value_type: 'string',
            },
          ],
        },
      },
    ],
  },
)
export type CapabilityManifest = Static<typeof CapabilityManifest>

const Names = Type.Object({
  triggers: Type.Array(Type.String()),
  actions: Type.Array(Type.String()),
  conditions: Type.Array(Type.String()),
})

const OpenSchema = Type.Unsafe<SafeSchema>({ type: 'object', additionalProperties: true })

export const PluginCapabilities = Type.Object(
  {
    plugin: Type.String(),
    plugin_id: Type.String(),
    manifest: Nullable(
      Type.Unsafe<object>({
        type: 'object',
        additionalProperties: true,
        description:
          'As it was understood, shorthand written out, with the `health` and `last_updated` that the plugin gave; ' +
          'null until one was accepted',
      }),
    ),
    own_event_types: Type.Array(Type.String(), {
      description:
        "Of its triggers' event types, those that are the plugin's own: no others may its key publish",
    }),
    origin: Nullable(
      StringEnum(['pushed', 'fetched'], {
        description:
          'pushed: by PUT; fetched: from /api/capabilities below base_url, and looked at again by itself',
      }),
    ),
    version: Nullable(Type.String()),
    health: StringEnum(['healthy', 'failing', 'unknown'], { description: 'failing: the last look failed' }),
    last_updated: Nullable(Timestamp),
    last_checked_at: Nullable(Timestamp),
    last_error: Nullable(Type.String()),
    consecutive_failures: Type.Integer(),
    next_check_at: Nullable(Timestamp),
  },
  { $id: 'PluginCapabilities' },
)
export type PluginCapabilities = Static<typeof PluginCapabilities>

export const CapabilityUpdate = Type.Object(
  {
    added: Names,
    changed: Names,
    removed: Names,
    breaks: Type.Array(ref(ActionBreakSchema), {
      description: 'Removed actions that flows use, and changed ones that flows give too little',
    }),
    capabilities: ref(PluginCapabilities),
  },
  { $id: 'CapabilityUpdate', description: 'What is different from the manifest before, by id' },
)

const owner = {
  plugin: Nullable(Type.String({ description: "The plugin's slug" })),
  plugin_id: Nullable(Type.String()),
  plugin_active: Type.Boolean(),
}

export const CapabilityTrigger = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    description: Type.String(),
    source: StringEnum(['platform', 'plugin']),
    ...owner,
    event_types: Type.Unsafe<readonly string[]>({ type: 'array', items: { type: 'string' } }),
    event_owners: Type.Record(Type.String(), StringEnum(EVENT_OWNERS), {
      description:
        "Whose each of the event types is: the platform's; the plugin's own, which its key may publish; or " +
        "another's, the shop's or another plugin's",
    }),
    output_schema: Nullable(OpenSchema),
  },
  { $id: 'CapabilityTrigger' },
)
export type CapabilityTrigger = Static<typeof CapabilityTrigger>

export const CapabilityCondition = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    description: Type.String(),
    ...owner,
    path: Nullable(
      Type.String({ description: 'Null: whoever builds the flow says in which field the value is' }),
    ),
    operators: Type.Array(Type.String()),
    value_type: StringEnum(VALUE_TYPES),
  },
  { $id: 'CapabilityCondition' },
)
export type CapabilityCondition = Static<typeof CapabilityCondition>

export const CapabilityPage = Type.Object(
  {
    triggers: Type.Array(ref(CapabilityTrigger)),
    actions: Type.Array(ref(RegistryActionSchema)),
    conditions: Type.Array(ref(CapabilityCondition)),
    next_cursor: Nullable(Type.String({ description: 'Null on the last page' })),
  },
  {
    $id: 'CapabilityPage',
    description: 'A page goes through the triggers, then the actions, then the conditions',
  },
)
export type CapabilityPage = Static<typeof CapabilityPage>

export const CAPABILITY_KINDS = ['triggers', 'actions', 'conditions'] as const

export const CapabilityQuery = Type.Object(
  {
    ...PageQuery,
    kind: Type.Optional(StringEnum(CAPABILITY_KINDS)),
    source: Type.Optional(StringEnum(['platform', 'plugin'])),
    plugin: Type.Optional(
      Type.String({ maxLength: 64, pattern: NO_NUL, description: "A plugin's UUID or slug, or `platform`" }),
    ),
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        pattern: NO_NUL,
        description: 'Part of the id, name or description',
      }),
    ),
  },
  { additionalProperties: false },
)
export type CapabilityQuery = Static<typeof CapabilityQuery>

export const PluginParams = Type.Object({
  slug: Type.String({ description: "The plugin's slug", examples: ['email-marketing'] }),
})

export const NAMED = [
  CapabilityManifest,
  PluginCapabilities,
  CapabilityUpdate,
  CapabilityTrigger,
  CapabilityCondition,
  CapabilityPage,
]
