import { type Static, Type } from '@sinclair/typebox'
import { RETRY_DELAY_MAX_SECONDS, RETRY_SCHEDULE_MAX_ENTRIES } from '#config/config.ts'
import { Nullable, PageQuery, ref, StringEnum } from '#lib/api/schema.ts'

/** One schema and no union: its errors name the member that is wrong, not every alternative. */
export const Subscription = Type.Unsafe<string | { event: string; filter?: unknown }>({
  $id: 'Subscription',
  type: ['string', 'object'],
  minLength: 1,
  maxLength: 128,
  properties: {
    event: { type: 'string', minLength: 1, maxLength: 128 },
    filter: {
      description:
        "A condition on the event's data, its fields named from there: only events that meet it are delivered. " +
        'Null or left out: all',
    },
  },
  required: ['event'],
  additionalProperties: false,
  description:
    'An event type, `product.*` for everything below `product`, or `*` for everything; as an object with a filter. ' +
    'Types that nobody has declared yet are welcome.',
  examples: ['product.*', { event: 'order.created', filter: { field: 'total', operator: 'gt', value: 100 } }],
})
export type Subscription = Static<typeof Subscription>

const Url = (description: string) => Type.String({ minLength: 1, maxLength: 2048, description })

const name = Type.String({
  minLength: 1,
  maxLength: 200,
  pattern: '\\S',
  description: 'What people call it',
})
const webhook_url = Url('Where events are delivered to: http or https, on a public address')

/** What POST, PUT and PATCH have in common; null is the default of each. */
const settings = {
  description: Type.Optional(Nullable(Type.String({ maxLength: 2000 }))),
  base_url: Type.Optional(
    Nullable(
      Url(
        'Where its actions are. Default: the origin of webhook_url, following it when that moves to another',
      ),
    ),
  ),
  events: Type.Optional(
    Nullable(
      Type.Array(ref(Subscription), {
        maxItems: 100,
        description: 'What it wants to hear of. Default: nothing',
      }),
    ),
  ),
  status: Type.Optional(
    StringEnum(['active', 'paused', 'disabled', 'inactive'], {
      description:
        'active when registered; left as it is when not given. `inactive` means `paused`. ' +
        'While it is paused or disabled its deliveries wait',
    }),
  ),
  config: Type.Optional(
    Nullable(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description:
          'Secrets and settings of the plugin, at most 64 KiB, encrypted at rest. Only admins and the plugin itself ' +
          'read the values; for others each is "[redacted]", which sent back keeps what is stored',
      }),
    ),
  ),
  metadata: Type.Optional(
    Nullable(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description: 'Anything of yours, at most 16 KiB',
      }),
    ),
  ),
  headers: Type.Optional(
    Nullable(
      Type.Unsafe<Record<string, string>>({
        type: 'object',
        additionalProperties: { type: 'string' },
        description:
          'Sent with every request to the plugin, whatever its gateway asks for: any name but those of the service and ' +
          'of the connection (accept, user-agent, host, content-…, webhook-…, proxy-…), at most 10, values of at most ' +
          '1,024 printable ASCII characters. Encrypted and redacted like config',
      }),
    ),
  ),
  retry_schedule: Type.Optional(
    Nullable(
      Type.Array(Type.Integer({ minimum: 1, maximum: RETRY_DELAY_MAX_SECONDS }), {
        maxItems: RETRY_SCHEDULE_MAX_ENTRIES,
        description:
          'Seconds to wait after each failed attempt; [] for none. Default: RETRY_SCHEDULE (30, 300, 3600)',
      }),
    ),
  ),
  timeout_ms: Type.Optional(
    Nullable(
      Type.Integer({
        minimum: 1000,
        maximum: 30_000,
        description: 'Deadline of one attempt. Default: DELIVERY_TIMEOUT_MS (10000)',
      }),
    ),
  ),
  rate_limit_per_second: Type.Optional(
    Nullable(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'Attempts a second. Default: no limit' }),
    ),
  ),
  max_in_flight: Type.Optional(
    Nullable(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'Attempts under way at once. Default: MAX_IN_FLIGHT_PER_PLUGIN (4)',
      }),
    ),
  ),
  include_own: Type.Optional(
    Nullable(
      Type.Boolean({
        description:
          'Events that the plugin published itself, by its own key, come back to it. Default: false',
      }),
    ),
  ),
}

const keep_waiting = Type.Optional(
  Type.Boolean({
    description:
      'With events that are fewer than before: true still sends what waits. Default: what is not subscribed to any ' +
      'more ends as failed, `unsubscribed`, without an attempt',
  }),
)

const slug = Type.String({
  minLength: 1,
  maxLength: 63,
  description:
    'Its name in paths: lower-case letters, digits, hyphens. Default: made from name. Never changes',
})

const EXAMPLE = {
  name: 'Email Marketing',
  slug: 'email-marketing',
  webhook_url: 'https://plugin.example/webhooks',
  events: ['customer.created', 'order.*'],
  config: { api_key: 'em_live_8c1f', sender: 'hello@shop.example' },
}

const Secret = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'Your own signing secret: whsec_ and the base64 of 24 to 64 bytes. Default: a new one is made',
})

export const PluginInput = Type.Object(
  {
    name,
    slug: Type.Optional(slug),
    webhook_url,
    ...settings,
    secret: Type.Optional(Secret),
    tenant_id: Type.Optional(Type.String({ format: 'uuid', description: 'The tenant of the key, if given' })),
  },
  { $id: 'PluginInput', additionalProperties: false, examples: [EXAMPLE] },
)
export type PluginInput = Static<typeof PluginInput>

export const PluginReplacement = Type.Object(
  { name, slug: Type.Optional(slug), webhook_url, ...settings, keep_waiting },
  {
    $id: 'PluginReplacement',
    additionalProperties: false,
    description:
      'All settings at once: what is left out returns to its default. status and signing secrets stay as they are.',
    examples: [{ ...EXAMPLE, retry_schedule: [60, 600], timeout_ms: 5000 }],
  },
)
export type PluginReplacement = Static<typeof PluginReplacement>

export const PluginPatch = Type.Object(
  {
    name: Type.Optional(name),
    slug: Type.Optional(slug),
    webhook_url: Type.Optional(webhook_url),
    ...settings,
    keep_waiting,
  },
  {
    $id: 'PluginPatch',
    additionalProperties: false,
    description:
      'What is given replaces that setting as a whole, null returns it to its default, the rest stays as it is.',
    examples: [{ events: ['order.*'], max_in_flight: null }],
  },
)
export type PluginPatch = Static<typeof PluginPatch>

export const SecretRotation = Type.Object(
  {
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        description:
          'How long the older secrets go on signing beside the new one. Default: 86400. 0: not at all',
      }),
    ),
    secret: Type.Optional(Secret),
  },
  { $id: 'SecretRotation', additionalProperties: false, default: {}, examples: [{ overlap_seconds: 3600 }] },
)
export type SecretRotation = Static<typeof SecretRotation>

export const Resumption = Type.Object(
  {
    backlog: Type.Optional(
      StringEnum(['deliver', 'skip'], {
        description:
          'What becomes of the deliveries that wait: sent (default), or given up as failed, which a replay can undo',
      }),
    ),
  },
  { $id: 'Resumption', additionalProperties: false, default: {}, examples: [{ backlog: 'deliver' }] },
)
export type Resumption = Static<typeof Resumption>

export const PluginParams = Type.Object({
  slug: Type.String({ description: "The plugin's slug", examples: ['email-marketing'] }),
})

/** Postgres cannot take NUL as text. */
const NO_NUL = '^[^\\u0000]*$'

export const PluginQuery = Type.Object(
  {
    ...PageQuery,
    status: Type.Optional(StringEnum(['active', 'paused', 'disabled'])),
    event: Type.Optional(
      Type.String({ maxLength: 128, description: 'Only plugins whose subscriptions take this event type' }),
    ),
    q: Type.Optional(
      Type.String({ minLength: 1, maxLength: 200, pattern: NO_NUL, description: 'Part of the name or slug' }),
    ),
  },
  { additionalProperties: false },
)
export type PluginQuery = Static<typeof PluginQuery>
