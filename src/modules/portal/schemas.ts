import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const SCOPES = ['tenant', 'plugin'] as const
const ROLES = ['admin', 'editor', 'viewer'] as const
const THEMES = ['light', 'dark'] as const
const LOCALES = ['en', 'de'] as const
const LABEL_MAX_CHARS = 100
const MINUTE_SECONDS = 60
const DAY_SECONDS = 86_400

const Uuid = (options: Record<string, unknown> = {}) => Type.String({ format: 'uuid', ...options })

export const NewPortalSession = Type.Object(
  {
    scope: StringEnum(SCOPES, { description: 'What its session sees: the whole shop, or one plugin of it' }),
    plugin: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description: 'Slug or id. With the scope `plugin`: required there, nowhere else',
      }),
    ),
    role: Type.Optional(
      StringEnum(ROLES, {
        description:
          'Required with the scope `tenant`: what its session may do in the shop. With the scope `plugin` it may what the ' +
          "plugin's scopes allow, and as `viewer` of that only what changes nothing",
      }),
    ),
    label: Type.String({
      minLength: 1,
      maxLength: LABEL_MAX_CHARS,
      pattern: '\\S',
      description:
        'Whom it is for, such as your id of the person: the audit log names it, and it ends all of them',
    }),
    expires_in: Defaulted(
      Type.Integer({
        minimum: MINUTE_SECONDS,
        maximum: 7 * DAY_SECONDS,
        default: 8 * 3_600,
        description: 'Seconds that its session lasts at most; 30 minutes without a request end it sooner',
      }),
    ),
    link_expires_in: Defaulted(
      Type.Integer({
        minimum: 1,
        maximum: DAY_SECONDS,
        default: 5 * MINUTE_SECONDS,
        description: 'Seconds in which the link has to be opened',
      }),
    ),
    return_url: Type.Optional(
      Type.String({ maxLength: 2_048, description: 'Where the page leads back to: http or https' }),
    ),
    theme: Type.Optional(StringEnum(THEMES)),
    locale: Type.Optional(StringEnum(LOCALES)),
  },
  {
    $id: 'NewPortalSession',
    additionalProperties: false,
    examples: [
      {
        scope: 'tenant',
        role: 'editor',
        label: 'user-4711',
        return_url: 'https://admin.shop.example/automation',
        locale: 'de',
      },
    ],
  },
)
export type NewPortalSession = Static<typeof NewPortalSession>

export const PortalSessionLink = Type.Object(
  {
    id: Uuid(),
    url: Type.String({ description: 'Opens the console, once. Shown here alone; only its hash is stored' }),
    expires_at: Type.Unsafe<Date | string>({ ...Timestamp, description: 'Until then it has to be opened' }),
  },
  { $id: 'PortalSessionLink' },
)
export type PortalSessionLink = Static<typeof PortalSessionLink>

export const PortalSession = Type.Object(
  {
    id: Uuid(),
    scope: StringEnum(SCOPES),
    plugin: Nullable(Type.String({ description: 'Slug' })),
    role: StringEnum(ROLES),
    label: Type.String(),
    status: StringEnum(['open', 'active', 'ended'], {
      description:
        '`open`: the link was not opened yet. `active`: its session lives. `ended`: neither any more',
    }),
    return_url: Nullable(Type.String()),
    theme: Nullable(StringEnum(THEMES)),
    locale: Nullable(StringEnum(LOCALES)),
    expires_in: Type.Integer({ description: 'Seconds that its session lasts at most' }),
    created_at: Timestamp,
    expires_at: Type.Unsafe<Date | string>({ ...Timestamp, description: 'Of the link' }),
    used_at: Nullable(Timestamp),
    revoked_at: Nullable(Timestamp),
    session_id: Nullable(Uuid({ description: 'Of the session that the link was exchanged for' })),
  },
  { $id: 'PortalSession' },
)
export type PortalSession = Static<typeof PortalSession>

export const PortalSessionPage = Page(ref(PortalSession), 'PortalSessionPage')

export const LabelQuery = Type.Object(
  {
    label: Type.String({
      minLength: 1,
      maxLength: LABEL_MAX_CHARS,
      description: 'Exactly this label',
    }),
  },
  { additionalProperties: false },
)
