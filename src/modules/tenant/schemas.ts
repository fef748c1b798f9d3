import { type Static, type TInteger, type TObject, type TOptional, Type } from '@sinclair/typebox'
import { QUOTA_NAMES, type QuotaName, QUOTAS } from '#infra/quotas.ts'
import { Nullable, Timestamp } from '#lib/api/schema.ts'

const strictEvents = {
  description:
    "Refuse events that do not match their type's schema, instead of storing them and noting what is wrong",
}

export const Tenant = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    strict_events: Type.Boolean(strictEvents),
    created_at: Nullable(Timestamp),
    updated_at: Nullable(Timestamp),
  },
  { $id: 'Tenant' },
)
export type Tenant = Static<typeof Tenant>

const Limit = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

/** A row for each quota, so that a new one is in the document at once. */
export const Usage = Type.Object(
  {
    quotas: Type.Object(
      Object.fromEntries(
        QUOTA_NAMES.map((name) => [
          name,
          Type.Object(
            {
              used: Type.Integer(),
              limit: Type.Integer(),
              default: Type.Integer(),
            },
            { description: QUOTAS[name].description },
          ),
        ]),
      ) as Record<QuotaName, TObject<{ used: TInteger; limit: TInteger; default: TInteger }>>,
    ),
  },
  { $id: 'Usage' },
)
export type Usage = Static<typeof Usage>

export const QuotaSettings = Type.Object(
  Object.fromEntries(
    QUOTA_NAMES.map((name) => [
      name,
      Type.Optional(Type.Integer({ ...Limit, description: QUOTAS[name].description })),
    ]),
  ) as Record<QuotaName, TOptional<TInteger>>,
  {
    $id: 'QuotaSettings',
    additionalProperties: false,
    examples: [{ plugins: 20, events_per_minute: 6_000 }],
  },
)
export type QuotaSettings = Static<typeof QuotaSettings>

export const TenantChange = Type.Object(
  { strict_events: Type.Optional(Type.Boolean(strictEvents)) },
  {
    $id: 'TenantChange',
    additionalProperties: false,
    minProperties: 1,
    examples: [{ strict_events: true }],
  },
)
export type TenantChange = Static<typeof TenantChange>
