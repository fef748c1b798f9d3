import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { JOB_STATUSES, REPLAYED_STATUSES, Time, Uuid } from '../schemas.ts'

export const NewRecovery = Type.Object(
  {
    since: Time('Events received then or later'),
    until: Type.Optional(Time('Events received before then. Left out, or in the future: now')),
    event: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'Only events of this type: `order.created`, `order.*` or `*`',
      }),
    ),
    status: Defaulted(
      StringEnum([...REPLAYED_STATUSES, 'any'], {
        default: 'undelivered',
        description:
          'Which deliveries. `undelivered`: events that the plugin subscribes to now, has never got and that do not ' +
          'wait. `any`: every event that it subscribes to now, also what it has got. Else deliveries of that status',
      }),
    ),
    dry_run: Defaulted(Type.Boolean({ default: false, description: 'Count only: nothing is queued' })),
    all_tenants: Defaulted(
      Type.Boolean({
        default: false,
        description: 'For platform keys, and without X-Tenant-Id: the plugins of all tenants',
      }),
    ),
  },
  {
    $id: 'NewRecovery',
    additionalProperties: false,
    examples: [
      { since: '2026-05-01T08:00:00Z', until: '2026-05-01T10:00:00Z', dry_run: true },
      { since: '2026-05-01T08:00:00Z', event: 'order.*', status: 'failed' },
    ],
  },
)
export type NewRecovery = Static<typeof NewRecovery>

export const Recovery = Type.Object(
  {
    id: Uuid,
    tenant_id: Nullable(Type.String({ format: 'uuid', description: 'Null: all tenants' })),
    status: StringEnum(JOB_STATUSES),
    since: Timestamp,
    until: Timestamp,
    event: Nullable(Type.String()),
    delivery_status: Nullable(
      StringEnum(REPLAYED_STATUSES, { description: 'The `status` that was asked for; null: any' }),
    ),
    dry_run: Type.Boolean(),
    plugins: Type.Integer({ description: 'Plugins that it has come to, as of a few seconds ago' }),
    plugins_open: Type.Integer({ description: 'Those of them that it is not done with' }),
    scanned: Type.Integer({ description: 'Events that were looked at, for each plugin apart' }),
    queued: Type.Integer({ description: 'Deliveries that were queued, or with `dry_run` would be' }),
    skipped: Type.Integer({
      description: 'Events whose bodies are gone, or on which a filter costs too much, for each plugin apart',
    }),
    error: Nullable(Type.String({ description: 'Why it did not complete' })),
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { $id: 'Recovery' },
)
export type Recovery = Static<typeof Recovery>

export const RecoveredPlugin = Type.Object(
  {
    tenant_id: Type.String({ format: 'uuid' }),
    plugin: Type.String({ description: "The plugin's slug" }),
    replay: Type.String({ format: 'uuid', description: 'The replay that does it' }),
    status: StringEnum(JOB_STATUSES),
    scanned: Type.Integer({ description: 'Events that were looked at so far' }),
    queued: Type.Integer({ description: 'Deliveries that were queued so far, or with `dry_run` would be' }),
    skipped: Type.Integer({
      description: 'Events whose bodies are gone, or on which the filter costs too much',
    }),
    error: Nullable(Type.String()),
  },
  { $id: 'RecoveredPlugin' },
)
export type RecoveredPlugin = Static<typeof RecoveredPlugin>

export const RecoveryPage = Page(ref(Recovery), 'RecoveryPage')
export const RecoveredPluginPage = Page(ref(RecoveredPlugin), 'RecoveredPluginPage')

export const RecoveryParams = Type.Object({ id: Uuid })
export const RecoveryQuery = Type.Object(PageQuery, { additionalProperties: false })
export type RecoveryQuery = Static<typeof RecoveryQuery>
