import { type Static, Type } from '@sinclair/typebox'
import { ENDPOINT_MAX_CHARS } from '#lib/endpoint.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { Nullable, PageQuery, ref, StringEnum } from '#lib/api/schema.ts'
import { ActionBreak } from './breaks.ts'

const MAX_ACTIONS = 200

/** Postgres cannot take NUL as text. */
const NO_NUL = '^[^\\u0000]*$'

const OpenSchema = Type.Unsafe<SafeSchema>({ type: 'object', additionalProperties: true })
const List = (description?: string) =>
  Type.Unsafe<readonly string[]>({
    type: 'array',
    items: { type: 'string' },
    ...(description !== undefined && { description }),
  })
const Fields = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z_][A-Za-z0-9_.-]*$' }), {
    maxItems: 100,
    uniqueItems: true,
    description,
  })
const Schema = (what: string) =>
  Type.Optional(
    Type.Unknown({
      description:
        `A JSON schema of ${what}: type, properties, required, additionalProperties, items, enum, bounds and the ` +
        'formats date-time, email and uri, at most 16 KiB and 8 deep; or shorthand such as { "to": "string" }',
    }),
  )

export const ActionType = Type.String({
  minLength: 1,
  maxLength: 100,
  pattern: '^[a-z][a-z0-9_]*(?:[.-][a-z0-9_]+)*$',
  description: 'What a dispatch calls it by',
  examples: ['send_welcome_email'],
})

/** The details that a plugin may give of an action, whether it registers it or its manifest has it. */
export const ACTION_DETAILS = {
  category: Type.Optional(
    Type.String({ minLength: 1, maxLength: 64, pattern: '\\S', description: 'Default: other' }),
  ),
  input_schema: Schema('the payload, an object'),
  output_schema: Schema('what the action answers'),
  endpoint: Type.Optional(
    Nullable(
      Type.String({
        maxLength: ENDPOINT_MAX_CHARS,
        description: 'A path below base_url. Default: the webhook_url itself',
      }),
    ),
  ),
  method: Type.Optional(StringEnum(['POST', 'PUT', 'PATCH', 'DELETE'], { description: 'Default: POST' })),
  timeout_ms: Type.Optional(
    Nullable(
      Type.Integer({ minimum: 100, maximum: 30_000, description: 'Deadline of one attempt. Default: 10000' }),
    ),
  ),
  idempotent: Type.Optional(
    Type.Boolean({
      description:
        'Doing it twice is as good as once, so that it may be repeated after a failure. Default: false',
    }),
  ),
}

export const ActionDeclaration = Type.Object(
  {
    action_type: ActionType,
    title: Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' }),
    description: Type.Optional(Type.String({ maxLength: 2000 })),
    ...ACTION_DETAILS,
    required_fields: Type.Optional(Fields('What the payload must have; beside `required` of input_schema')),
    optional_fields: Type.Optional(Fields('What it may have; beside the properties of input_schema')),
  },
  { $id: 'ActionDeclaration', additionalProperties: false },
)
export type ActionDeclaration = Static<typeof ActionDeclaration>

export const ActionDeclarations = Type.Object(
  { actions: Type.Array(ref(ActionDeclaration), { maxItems: MAX_ACTIONS }) },
  {
    $id: 'ActionDeclarations',
    additionalProperties: false,
    examples: [
      {
        actions: [
          {
            action_type: 'send_welcome_email',
            title: 'Send a welcome email',
            description: 'Greets a new customer.',
            category: 'email',
            required_fields: ['to'],
            optional_fields: ['template'],
            endpoint: '/actions/send-welcome-email',
            method: 'POST',
          },
        ],
      },
    ],
  },
)

export const RegistryAction = Type.Object(
  {
    action_type: Type.String(),
    aliases: List('Further names that a dispatch may use'),
    title: Type.String(),
    description: Type.String(),
    category: Type.String(),
    source: StringEnum(['platform', 'plugin']),
    plugin_id: Nullable(Type.String()),
    plugin: Nullable(Type.String({ description: "The plugin's slug" })),
    plugin_active: Type.Boolean({
      description: 'False while the plugin is paused or disabled: then it is not done',
    }),
    is_default: Type.Boolean({
      description:
        'A dispatch that names no plugin means this one: of plugins with an action of the same name the first that had ' +
        'it, or the one that an admin has chosen',
    }),
    required_fields: List(),
    optional_fields: List(),
    input_schema: Nullable(OpenSchema),
    output_schema: Nullable(OpenSchema),
    idempotent: Type.Boolean(),
    method: Type.String(),
    path: Nullable(Type.String({ description: 'Of the platform; `:id` is taken from the payload' })),
    endpoint: Nullable(
      Type.String({ description: 'Of a plugin, below its base_url; null: its webhook_url' }),
    ),
    timeout_ms: Nullable(Type.Integer()),
  },
  { $id: 'RegistryAction' },
)

const Names = (description: string) => Type.Array(Type.String(), { description })

export const RegisteredActions = Type.Object(
  {
    plugin: Type.String(),
    plugin_id: Type.String(),
    actions: Type.Array(ref(RegistryAction), { description: 'All that were registered' }),
    added: Names('Action types that were not registered before'),
    changed: Names('Action types of which something is different now'),
    removed: Names('Action types that are registered no longer'),
    breaks: Type.Array(ref(ActionBreak), {
      description: 'Removed actions that flows use, and changed ones that flows give too little',
    }),
  },
  { $id: 'RegisteredActions' },
)

const ActionGroup = Type.Object({
  name: Nullable(Type.String({ description: "The plugin's slug, null for the platform; or the category" })),
  actions: Type.Array(ref(RegistryAction)),
})

export const ActionPage = Type.Object(
  {
    data: Type.Optional(Type.Array(ref(RegistryAction), { description: 'By action type; not with group' })),
    groups: Type.Optional(
      Type.Array(ActionGroup, { description: 'With group; the next page may go on with the last of them' }),
    ),
    next_cursor: Nullable(Type.String({ description: 'Null on the last page' })),
  },
  { $id: 'ActionPage' },
)

const search = {
  category: Type.Optional(Type.String({ maxLength: 64, pattern: NO_NUL })),
  q: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: NO_NUL,
      description: "Part of the action type, an alias, the title, the description or the plugin's slug",
    }),
  ),
}

export const PluginActionQuery = Type.Object({ ...PageQuery, ...search }, { additionalProperties: false })

export const ActionQuery = Type.Object(
  {
    ...PageQuery,
    ...search,
    source: Type.Optional(StringEnum(['platform', 'plugin'])),
    plugin: Type.Optional(
      Type.String({ maxLength: 64, pattern: NO_NUL, description: "A plugin's UUID or slug, or `platform`" }),
    ),
    group: Type.Optional(
      StringEnum(['plugin', 'category'], { description: 'Answers `groups` instead of `data`' }),
    ),
  },
  { additionalProperties: false },
)
export type ActionQuery = Static<typeof ActionQuery>

export const ActionNameInput = Type.Object(
  {
    plugin: Type.String({
      minLength: 1,
      maxLength: 63,
      description: 'Slug or id of a plugin that has the action',
    }),
  },
  { $id: 'ActionNameInput', additionalProperties: false, examples: [{ plugin: 'email-marketing' }] },
)

export const ActionNameParams = Type.Object({ action_type: ActionType })

export const PluginParams = Type.Object({
  slug: Type.String({ description: "The plugin's slug", examples: ['email-marketing'] }),
})

export const NAMED = [
  ActionBreak,
  ActionNameInput,
  ActionDeclaration,
  ActionDeclarations,
  RegistryAction,
  RegisteredActions,
  ActionPage,
]
