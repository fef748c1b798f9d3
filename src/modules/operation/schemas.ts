import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

const Count = (description: string) => Type.Integer({ description })
const Seconds = (description: string) => Type.Number({ description })

export const Operation = Type.Object(
  {
    version: Type.String({ description: 'Of the process that answers' }),
    migrations: Type.Object({
      state: StringEnum(['current', 'extended', 'behind', 'ahead', 'unreachable']),
      detail: Type.String(),
    }),
    queue: Type.Object({
      depth: Count('Deliveries that wait, at most 100,000 are counted'),
      oldest_due_seconds: Seconds('For how long the oldest one has been due; 0: none is'),
      unattended_seconds: Seconds('The same, of what no worker holds: grows when workers are missing'),
      plugins: Type.Array(
        Type.Object({
          tenant_id: Type.String({ format: 'uuid' }),
          slug: Type.String(),
          name: Type.String(),
          oldest_due_seconds: Seconds('For how long its oldest one has been due'),
          waiting: Count('Deliveries that wait for it, at most 1,000 are counted'),
          is_held: Type.Boolean({ description: 'A worker is at it: what waits, waits for the plugin' }),
        }),
        {
          description: 'The plugins of which something has been due for longest, at most 10, but for replays',
        },
      ),
      breakers: Type.Object({ closed: Type.Integer(), open: Type.Integer(), half_open: Type.Integer() }),
    }),
    lanes: Type.Object({
      held: Count('Plugins whose deliveries a worker holds'),
      free: Count('All others'),
    }),
    workers: Type.Array(
      Type.Object({ id: Type.String(), seen_at: Timestamp, lanes: Count('How many plugins it holds') }),
      { description: 'Delivery workers that were there in the last 5 minutes, at most 100' },
    ),
    flows: Type.Object({
      due: Count('Executions that are due, at most 10,000 are counted'),
      oldest_due_seconds: Seconds('For how long the oldest one has been due; 0: none is'),
    }),
    background: Type.Record(
      Type.String(),
      Type.Object({ status: StringEnum(['ok', 'warning', 'failed']), detail: Type.String() }),
      { description: 'Work in the background by name, as readiness tells it' },
    ),
  },
  { $id: 'Operation' },
)
export type Operation = Static<typeof Operation>

export const TenantSummary = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    created_at: Timestamp,
    last_event_at: Nullable({ ...Timestamp, description: 'When its last event came; null: none is there' }),
    plugins: Count('Its plugins'),
    flows: Count('Its flows'),
    waiting: Count('Deliveries that have failed or are to be tried again, at most 1,000 are counted'),
  },
  { $id: 'TenantSummary' },
)
export type TenantSummary = Static<typeof TenantSummary>
export const TenantPage = Page(ref(TenantSummary), 'TenantPage')

export const TenantQuery = Type.Object(
  {
    ...PageQuery,
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 36,
        pattern: '^[0-9a-fA-F-]+$',
        description: 'The id, or its beginning',
      }),
    ),
  },
  { additionalProperties: false },
)
export type TenantQuery = Static<typeof TenantQuery>
