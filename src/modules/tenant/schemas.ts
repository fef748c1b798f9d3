import { type Static, Type } from '@sinclair/typebox'
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
