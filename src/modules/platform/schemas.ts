import { type Static, Type } from '@sinclair/typebox'
import { Nullable, StringEnum } from '../../lib/schema.ts'

export const PlatformSettings = Type.Object(
  {
    url: Nullable(Type.String({ description: "Where this tenant's platform API is" })),
    has_token: Type.Boolean(),
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
      Nullable(Type.String({ minLength: 1, maxLength: 4096, pattern: '^[\\x21-\\x7e]+$' })),
    ),
  },
  {
    $id: 'PlatformSettingsInput',
    additionalProperties: false,
    examples: [{ url: 'https://api.shop.example', token: 'secret' }],
  },
)
export type PlatformSettingsInput = Static<typeof PlatformSettingsInput>
