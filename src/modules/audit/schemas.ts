import { type Static, Type } from '@sinclair/typebox'
import { ACTOR_KINDS } from '#infra/auth/actor.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const AuditLogEntry = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    tenant_id: Nullable(Type.String({ format: 'uuid', description: 'Null above all tenants' })),
    actor_kind: StringEnum(ACTOR_KINDS, {
      description:
        '`open`: no key was needed. `platform`, `tenant`, `plugin`: a key, or a session of it. `portal`: a portal link. ' +
        '`operator`: the command line. `system`: the service itself',
    }),
    actor_id: Nullable(
      Type.String({
        description: "The key's id, or the label of the portal link; null where there is neither",
      }),
    ),
    actor_name: Nullable(
      Type.String({ description: "The key's name, or the portal link's label; null where there is neither" }),
    ),
    action: Type.String({ description: 'Noun and past participle, such as `plugin.created`' }),
    target_kind: Type.String(),
    target_id: Type.String(),
    detail: Type.Record(Type.String(), Type.Unknown(), {
      description:
        'What changed; secrets are redacted. Of settings that were changed `before` and `after` have those that differ, ' +
        "and of a value of more than 2,000 characters its length. Free text, `metadata` and the values of filters, which may be a customer's, " +
        'are left out: `changed` names what they are of',
    }),
    request_id: Nullable(Type.String()),
    created_at: Timestamp,
  },
  { $id: 'AuditLogEntry' },
)
export type AuditLogEntry = Static<typeof AuditLogEntry>

export const AuditLogParams = Type.Object({ id: Type.String({ format: 'uuid' }) })

export const AuditLogPage = Page(ref(AuditLogEntry), 'AuditLogPage')

const filter = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 200, description }))
const time = (description: string) =>
  Type.Optional(Type.String({ format: 'date-time', maxLength: 40, description }))

export const AuditLogQuery = Type.Object(
  {
    ...PageQuery,
    action: filter('Exactly this action, such as `plugin.created`'),
    actor: filter("A key's id, a portal link's label or a kind of actor"),
    target: filter('Id or kind of what was changed'),
    q: filter('What the action or the id of what was changed begins with'),
    since: time('From then on'),
    until: time('Before then'),
  },
  { additionalProperties: false },
)
export type AuditLogQuery = Static<typeof AuditLogQuery>
