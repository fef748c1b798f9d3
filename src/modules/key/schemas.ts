import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const KEY_KINDS = ['platform', 'tenant', 'plugin'] as const
const TENANT_ROLES = ['admin', 'editor', 'viewer'] as const

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
const Uuid = (options: Record<string, unknown> = {}) =>
  Type.String({ format: 'uuid', maxLength: 36, ...options })

const keyProperties = {
  id: Uuid(),
  tenant_id: Nullable(Uuid({ description: 'Null for a platform key' })),
  kind: StringEnum(KEY_KINDS),
  role: Nullable(StringEnum(TENANT_ROLES, { description: "A tenant key's role, else null" })),
  plugin: Nullable(Type.String({ description: "Slug of a plugin key's plugin, else null" })),
  plugin_id: Nullable(Uuid({ description: "Id of a plugin key's plugin, else null" })),
  name: Type.String(),
  prefix: Type.String({ description: "The key's first characters, to recognise it by" }),
  created_at: Timestamp,
  expires_at: Nullable(Timestamp),
  last_used_at: Nullable(Timestamp),
  revoked_at: Nullable(Timestamp),
}

export const ApiKey = Type.Object(keyProperties, { $id: 'ApiKey' })
export type ApiKey = Static<typeof ApiKey>

export const ApiKeyWithSecret = Type.Object(
  {
    ...keyProperties,
    key: Type.String({ description: 'The key itself. It is stored as a hash only and never shown again' }),
  },
  { $id: 'ApiKeyWithSecret' },
)
export type ApiKeyWithSecret = Static<typeof ApiKeyWithSecret>

export const ApiKeyPage = Page(ref(ApiKey), 'ApiKeyPage')

export const NewApiKey = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, description: 'What the key is for' }),
    kind: StringEnum(KEY_KINDS),
    role: Type.Optional(
      StringEnum(TENANT_ROLES, { description: 'Of a tenant key: required there, nowhere else' }),
    ),
    plugin: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description: 'Slug or id. Of a plugin key: required there, nowhere else',
      }),
    ),
    expires_at: Type.Optional(
      Type.String({ format: 'date-time', maxLength: 40, description: 'Left out: the key has no end' }),
    ),
  },
  {
    $id: 'NewApiKey',
    additionalProperties: false,
    examples: [{ name: 'storefront backend', kind: 'tenant', role: 'editor' }],
  },
)
export type NewApiKey = Static<typeof NewApiKey>

export const ApiKeyParams = Type.Object({ id: Uuid() })

export const KeyQuery = Type.Object(
  {
    ...PageQuery,
    status: Type.Optional(
      StringEnum(['active', 'revoked', 'expired'], {
        description: 'Only those that can be used, or no longer',
      }),
    ),
  },
  { additionalProperties: false },
)
export type KeyQuery = Static<typeof KeyQuery>
export type KeyStatus = NonNullable<KeyQuery['status']>
