import { type Static, Type } from '@sinclair/typebox'
import { Nullable, StringEnum } from '#lib/api/schema.ts'

export const PlatformSettings = Type.Object(
  {
    url: Nullable(Type.String({ description: "The tenant's own; null: it has none" })),
    has_token: Type.Boolean({ description: 'Whether a token is sent to the own URL' }),
    source: StringEnum(['tenant', 'service', 'none'], { description: 'Whose setting is in force' }),
  },
  { $id: 'PlatformSettings' },
)
export type PlatformSettings = Static<typeof PlatformSettings>

export const PlatformSettingsInput = Type.Object(
  {
    url: Nullable(
      Type.String({ minLength: 1, maxLength: 2048, description: "Null: the service's PLATFORM_URL again" }),
    ),
    token: Type.Optional(
      Nullable(
        Type.String({
          minLength: 1,
          maxLength: 4096,
          pattern: '^[\\x21-\\x7e]+$',
          description: 'Sent as a Bearer token. Left out or null: the URL is called without one',
        }),
      ),
    ),
  },
  {
    $id: 'PlatformSettingsInput',
    additionalProperties: false,
    examples: [{ url: 'https://api.shop.example', token: 'secret' }],
  },
)
export type PlatformSettingsInput = Static<typeof PlatformSettingsInput>
