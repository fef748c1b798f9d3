import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
const Uuid = Type.String({ format: 'uuid', maxLength: 36 })
const path = Type.String({
  minLength: 1,
  maxLength: 256,
  description:
    "Where the value stands in an event's data or an action's payload: `customer.email`, `items[0].sku`",
})

export const NewErasure = Type.Object(
  {
    path,
    value: Type.Union([Type.String({ maxLength: 4096 }), Type.Number(), Type.Boolean()], {
      description:
        'Events and automations whose data has exactly this value there are erased: `"42"` is not `42`, and case counts',
    }),
  },
  {
    $id: 'NewErasure',
    additionalProperties: false,
    examples: [{ path: 'customer.email', value: 'jane@example.com' }],
  },
)
export type NewErasure = Static<typeof NewErasure>

export const Erasure = Type.Object(
  {
    id: Uuid,
    status: StringEnum(['queued', 'running', 'completed', 'failed']),
    path,
    scanned: Type.Integer({
      description: 'Records that were looked at so far: events, executions, log entries, messages',
    }),
    erased: Type.Integer({
      description: 'Records that were erased so far; what hangs on one counts with it',
    }),
    error: Nullable(Type.String({ description: 'Why it did not complete' })),
    created_at: Timestamp,
    finished_at: Nullable(Timestamp),
  },
  { $id: 'Erasure' },
)
export type Erasure = Static<typeof Erasure>

export const ErasurePage = Page(ref(Erasure), 'ErasurePage')
export const ErasureParams = Type.Object({ id: Uuid })
export const ErasureQuery = Type.Object(PageQuery, { additionalProperties: false })
