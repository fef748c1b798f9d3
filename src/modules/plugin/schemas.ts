import { type Static, Type } from '@sinclair/typebox'
import { PageQuery, StringEnum } from '#lib/api/schema.ts'
import { MAX_SECRET_CHARS } from '#lib/secrets/signature.ts'
import { GIVEN } from './settings/fields.ts'

const status = Type.Optional(
  StringEnum(['active', 'paused', 'disabled', 'inactive'], {
    description:
      'active when registered; left as it is when not given. `inactive` means `paused`. ' +
      'While it is paused or disabled its deliveries wait',
  }),
)

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

const { name, webhook_url, description, base_url, events, ...others } = GIVEN

/** The members that POST, PUT and PATCH have in common, in the order of their documentation. */
const settings = { description, base_url, events, status, ...others }

const EXAMPLE = {
  name: 'Email Marketing',
  slug: 'email-marketing',
  webhook_url: 'https://plugin.example/webhooks',
  events: ['customer.created', 'order.*'],
  config: { api_key: 'em_live_8c1f', sender: 'hello@shop.example' },
}

const Secret = Type.String({
  minLength: 1,
  maxLength: MAX_SECRET_CHARS,
  description:
    'Your own signing secret: whsec_ and the base64 of 24 to 64 bytes; or one that comes from elsewhere, 8 to 256 bytes ' +
    'after text:, base64: or hex:. Default: a new one is made',
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
