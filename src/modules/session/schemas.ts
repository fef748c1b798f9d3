import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const CALLER_KINDS = ['open', 'platform', 'tenant', 'plugin', 'portal'] as const
const SESSION_KINDS = ['platform', 'tenant', 'plugin', 'portal'] as const
const ROLES = ['admin', 'editor', 'viewer'] as const
const CALLER_ROLES = [...ROLES, 'platform'] as const
const TOKEN_MAX_CHARS = 256

const Uuid = (options: Record<string, unknown> = {}) =>
  Type.String({ format: 'uuid', maxLength: 36, ...options })

const sessionProperties = {
  kind: StringEnum(CALLER_KINDS, {
    description:
      '`open`: no key is needed. `platform`, `tenant`, `plugin`: by a key of that kind. `portal`: by a portal link',
  }),
  role: Nullable(
    StringEnum(CALLER_ROLES, { description: 'Null for a plugin: `plugin.scopes` say what it may do' }),
  ),
  tenant_id: Nullable(
    Uuid({ description: 'The tenant that requests work for which name none; null: they have to' }),
  ),
  may_choose_tenant: Type.Boolean({ description: 'Whether X-Tenant-Id may name another tenant' }),
  plugin: Nullable(
    Type.Object(
      { slug: Type.String(), name: Type.String(), scopes: Type.Array(Type.String()) },
      { description: 'What the caller is limited to, if it is a plugin' },
    ),
  ),
  label: Nullable(Type.String({ description: "The key's name, or the portal link's label" })),
  expires_at: Nullable(
    Type.Unsafe<Date | string>({
      ...Timestamp,
      description: 'The latest end of the session, or of the key; null: none',
    }),
  ),
  version: Type.String({ description: 'Of the service' }),
  via: StringEnum(['key', 'session', 'open'], { description: 'What the request came with' }),
}

export const Session = Type.Object(sessionProperties, { $id: 'Session' })
export type Session = Static<typeof Session>

export const NewSession = Type.Object(
  {
    key: Type.Optional(
      Type.String({ minLength: 1, maxLength: TOKEN_MAX_CHARS, description: 'A live key. Or `portal_token`' }),
    ),
    tenant_id: Type.Optional(
      Uuid({
        description:
          'With a platform key: the tenant that the session works for where a request names none. With any other key ' +
          'its own',
      }),
    ),
    portal_token: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: TOKEN_MAX_CHARS,
        description: 'What stands behind the # of a portal link',
      }),
    ),
  },
  {
    $id: 'NewSession',
    additionalProperties: false,
    minProperties: 1,
    examples: [
      { key: 'bcs_c2Vzc2lvbi1leGFtcGxlLW5vdC1hLWxpdmUta2V5LTAwMDA' },
      { portal_token: 'cG9ydGFsLWV4YW1wbGUtbm90LWEtbGl2ZS10b2tlbi0' },
    ],
  },
)
export type NewSession = Static<typeof NewSession>

export const StartedSession = Type.Object(
  {
    ...sessionProperties,
    token: Type.Optional(
      Type.String({
        description: 'With x-bcs-session: bearer: for `Authorization: Bearer bcss_…`, shown here alone',
      }),
    ),
    return_url: Type.Optional(
      Nullable(Type.String({ description: 'Of a portal link: where the page leads back to' })),
    ),
    theme: Type.Optional(Nullable(StringEnum(['light', 'dark'], { description: 'Of a portal link' }))),
    locale: Type.Optional(Nullable(StringEnum(['en', 'de'], { description: 'Of a portal link' }))),
  },
  { $id: 'StartedSession' },
)
export type StartedSession = Static<typeof StartedSession>

export const SessionHeaders = Type.Object({
  'x-bcs-session': Type.Optional(
    StringEnum(['cookie', 'bearer'], {
      description:
        '`bearer`: for a page in a frame, where no cookie arrives: the answer has the `token`, and no cookie is set. ' +
        'Default: `cookie`',
    }),
  ),
})

export const SessionRecord = Type.Object(
  {
    id: Uuid(),
    kind: StringEnum(SESSION_KINDS),
    transport: StringEnum(['cookie', 'bearer']),
    role: Nullable(StringEnum(ROLES)),
    tenant_id: Nullable(Uuid({ description: 'Null for one of a platform key' })),
    plugin: Nullable(Type.String({ description: 'Slug' })),
    key_id: Nullable(Uuid()),
    portal_link_id: Nullable(Uuid()),
    label: Type.String({ description: "The key's name, or the portal link's label" }),
    status: StringEnum(['live', 'ended']),
    current: Type.Boolean({ description: 'Whether the request came by it' }),
    created_at: Timestamp,
    seen_at: Type.Unsafe<Date | string>({ ...Timestamp, description: 'The last request, to a minute' }),
    expires_at: Timestamp,
    revoked_at: Nullable(Timestamp),
  },
  { $id: 'SessionRecord' },
)
export type SessionRecord = Static<typeof SessionRecord>

export const SessionPage = Page(ref(SessionRecord), 'SessionPage')

export const SessionParams = Type.Object({ id: Uuid() })
