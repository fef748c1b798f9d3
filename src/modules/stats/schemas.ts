import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { EGRESS_ERROR_CLASSES } from '#infra/egress/index.ts'
import { TimeRangeQuery } from '#infra/http/log-filters.ts'
import { Nullable, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { MAX_POINTS, STEPS } from './range.ts'

const RANGE = {
  since: Type.Optional({
    ...TimeRangeQuery.since,
    description: 'From then on. Left out: 24 hours before `until`',
    examples: ['2026-05-01T00:00:00Z'],
  }),
  until: Type.Optional({ ...TimeRangeQuery.until, description: 'Before then. Left out: now' }),
  step: Type.Optional(
    StringEnum(STEPS, {
      description:
        `What a point stands for: minutes are kept for 2 days, 5 minutes for 14, hours for 90, days for 730; hours and days ` +
        `are of UTC. Left out: the finest that the period has, with at most ${MAX_POINTS} points`,
    }),
  ),
}
const Slug = Type.Optional(Type.String({ maxLength: 64, description: 'The slug of a plugin' }))
const EventType = Type.Optional(
  Type.String({ maxLength: 128, description: 'An event type, or `order.*` for everything below it' }),
)

export const DeliveryStatsQuery = Type.Object({
  ...RANGE,
  plugin: Slug,
  event: EventType,
  group: Type.Optional(
    StringEnum(['plugin', 'event', 'error_class'], {
      description: 'A series for each. Left out: one for all',
    }),
  ),
})
export type DeliveryStatsQuery = Static<typeof DeliveryStatsQuery>

export const PluginStatsQuery = Type.Object({
  ...RANGE,
  event: EventType,
  group: Type.Optional(
    StringEnum(['event', 'error_class'], { description: 'A series for each. Left out: one for all' }),
  ),
})
export type PluginStatsQuery = Static<typeof PluginStatsQuery>

export const ExecutionStatsQuery = Type.Object({
  ...RANGE,
  flow: Type.Optional(Type.String({ format: 'uuid', maxLength: 36, description: 'The id of a flow' })),
  group: Type.Optional(
    StringEnum(['flow', 'error'], { description: 'A series for each. Left out: one for all' }),
  ),
})
export type ExecutionStatsQuery = Static<typeof ExecutionStatsQuery>

export const ActionStatsQuery = Type.Object({
  ...RANGE,
  plugin: Type.Optional(Type.String({ maxLength: 64, description: 'The slug of a plugin, or `platform`' })),
  action: Type.Optional(Type.String({ maxLength: 128, description: 'The name of an action' })),
  group: Type.Optional(
    StringEnum(['plugin', 'action', 'error'], { description: 'A series for each. Left out: one for all' }),
  ),
})
export type ActionStatsQuery = Static<typeof ActionStatsQuery>

export const PluginStatsParams = Type.Object({ slug: Type.String({ maxLength: 64 }) })

const count = (description: string) => Type.Integer({ description })
const DELIVERY_COUNTS = {
  attempts: count('Requests that were made'),
  sent: count('Deliveries that arrived'),
  first_try: count('Of those, the ones that needed one attempt'),
  retried: count('Attempts that failed and are repeated'),
  failed: count('Deliveries that were given up'),
  superseded: count(
    'Deliveries that ended as a newer one of their key took their place: no fault of the plugin',
  ),
}
const EXECUTION_COUNTS = {
  completed: Type.Integer(),
  failed: Type.Integer(),
  cancelled: count('Of those that ran; what was cancelled before or while it waited is not counted'),
  timed_out: Type.Integer(),
}
const ACTION_COUNTS = {
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  accepted: count('Taken to be done later'),
}

function statsOf<T extends Record<string, TSchema>>(
  $id: string,
  counts: T,
  texts: { key: string; latency: string; queueAge?: string; errors: string; example: unknown },
) {
  const figures = {
    ...counts,
    p50_ms: Nullable(Type.Integer({ description: texts.latency })),
    p95_ms: Nullable(Type.Integer()),
    p99_ms: Nullable(Type.Integer()),
    ...(texts.queueAge !== undefined && {
      queue_age_p50_ms: Nullable(Type.Integer({ description: texts.queueAge })),
      queue_age_p95_ms: Nullable(Type.Integer()),
      queue_age_p99_ms: Nullable(Type.Integer()),
    }),
    errors: Type.Record(Type.String(), Type.Integer(), { description: texts.errors }),
  }
  return Type.Object(
    {
      step: StringEnum(STEPS),
      since: Timestamp,
      until: Timestamp,
      complete: Type.Boolean({
        description: 'False: `until` is not over yet, and the last point still grows',
      }),
      series: Type.Array(
        Type.Object({
          key: Type.String({ description: texts.key }),
          label: Nullable(Type.String({ description: 'Its name' })),
          totals: Type.Object(figures, { description: 'Of the whole period' }),
          points: Type.Array(Type.Object({ t: Timestamp, ...figures }), {
            description:
              'In order of time, by the beginning of the step. One in which nothing happened has none',
          }),
        }),
        { description: 'The largest ten, the largest first, then the rest as `other`' },
      ),
    },
    { $id, examples: [texts.example] },
  )
}

function exampleOf(
  key: string,
  label: string | null,
  counts: Record<string, number>,
  errors: object,
  more = {},
) {
  const figures = { ...counts, p50_ms: 41, p95_ms: 180, p99_ms: 420, ...more, errors }
  return {
    step: '1h',
    since: '2026-05-01T00:00:00.000Z',
    until: '2026-05-02T00:00:00.000Z',
    complete: true,
    series: [{ key, label, totals: figures, points: [{ t: '2026-05-01T09:00:00.000Z', ...figures }] }],
  }
}

export const DeliveryStats = statsOf('DeliveryStats', DELIVERY_COUNTS, {
  key: 'A slug, the id of a plugin that was deleted, an event type, an error class or `none`; `all` without a group',
  latency: 'How long half of the attempts took at most; by classes, so it may be 1.65 times off',
  queueAge:
    'How long half of the deliveries had waited at most when their first attempt began: since intake, or since they were ' +
    'replayed, whatever held them (a pause, a rate limit, order, a window of coalescing). Later attempts do not count. By ' +
    'classes, so it may be 2.4 times off; 10 ms at least are told from less, and 30 days at most',
  errors: `Attempts that failed, by class: ${EGRESS_ERROR_CLASSES.join(', ')}`,
  example: exampleOf(
    'email-marketing',
    'Email marketing',
    { attempts: 130, sent: 120, first_try: 114, retried: 9, failed: 1, superseded: 0 },
    { http_5xx: 8, timeout: 2 },
    { queue_age_p50_ms: 8, queue_age_p95_ms: 35, queue_age_p99_ms: 1_900 },
  ),
})

export const ExecutionStats = statsOf('ExecutionStats', EXECUTION_COUNTS, {
  key: 'The id of a flow, an error code or `none`; `all` without a group',
  latency: 'How long half of them took at most, waits included; by classes, so only roughly',
  queueAge:
    'How long half of them had waited at most when they were first taken up: since the event came, the schedule was due or somebody ' +
    'asked for them, whatever held them (a pause, a halt, a backlog). By classes, so it may be 2.4 times off',
  errors: 'Those that failed, by error code',
  example: exampleOf(
    '0197a3c1-8f00-7000-8000-000000000001',
    'Thank for a large order',
    { completed: 310, failed: 4, cancelled: 0, timed_out: 0 },
    { http_5xx: 3, template_error: 1 },
    { queue_age_p50_ms: 12, queue_age_p95_ms: 60, queue_age_p99_ms: 240 },
  ),
})

export const ActionStats = statsOf('ActionStats', ACTION_COUNTS, {
  key: 'A slug or `platform`, the name of an action, an error code or `none`; `all` without a group',
  latency: 'How long half of them took at most; by classes, so it may be 1.65 times off',
  errors: 'Those that failed, by error code',
  example: exampleOf(
    'send_email',
    null,
    { succeeded: 240, failed: 3, accepted: 0 },
    { http_5xx: 2, timeout: 1 },
  ),
})
