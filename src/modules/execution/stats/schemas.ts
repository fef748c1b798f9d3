import { type Static, Type } from '@sinclair/typebox'
import { Nullable } from '#lib/api/schema.ts'

/** Days that one request may ask for. */
export const STATS_MAX_DAYS = 92
export const STATS_DEFAULT_DAYS = 30

const Day = Type.Unsafe<string>({ type: 'string', format: 'date', maxLength: 10, examples: ['2026-05-01'] })

export const FlowStatsQuery = Type.Object(
  {
    since: Type.Optional(
      Type.String({ format: 'date', maxLength: 10, description: 'First day, UTC. Left out: 30 days in all' }),
    ),
    until: Type.Optional(
      Type.String({ format: 'date', maxLength: 10, description: 'Last day, UTC. Left out: today' }),
    ),
  },
  { additionalProperties: false },
)
export type FlowStatsQuery = Static<typeof FlowStatsQuery>

export const FlowStatsParams = Type.Object({ id: Type.String({ format: 'uuid', maxLength: 36 }) })

const counts = {
  started: Type.Integer({ description: 'All but the skipped ones' }),
  active: Type.Integer({ description: 'Queued, running or waiting now' }),
  completed: Type.Integer(),
  filtered: Type.Integer({ description: 'Of the completed: a condition was not met' }),
  failed: Type.Integer(),
  handled: Type.Integer({ description: 'Of the failed: an error handler has dealt with it' }),
  cancelled: Type.Integer(),
  timed_out: Type.Integer(),
  skipped: Type.Integer({ description: 'Triggered, and did not start' }),
}

export const FlowStats = Type.Object(
  {
    flow_id: Type.String({ format: 'uuid' }),
    since: Day,
    until: Day,
    complete: Type.Boolean({ description: 'False: it took too long, earlier days are left out' }),
    totals: Type.Object(counts),
    days: Type.Array(
      Type.Object({
        day: Day,
        ...counts,
        p50_ms: Nullable(Type.Integer({ description: 'Of those that completed or failed, waits included' })),
        p95_ms: Nullable(Type.Integer()),
        sampled: Type.Boolean({ description: 'There were more than 200,000; those are counted' }),
      }),
      { description: 'By the day on which executions were created, the latest first' },
    ),
  },
  { $id: 'FlowStats' },
)
export type FlowStats = Static<typeof FlowStats>
