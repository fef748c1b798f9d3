import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const ATTENTION_KINDS = [
  'automations_halted',
  'plugin_disabled',
  'secret_unreadable',
  'breaker_open',
  'plugin_failing',
  'plugin_paused',
  'certificate_expiring',
  'flow_paused',
  'flow_failing',
  'executions_held',
  'capabilities_failing',
  'deliveries_behind',
  'events_set_aside',
] as const
export type AttentionKind = (typeof ATTENTION_KINDS)[number]

export const OverviewQuery = Type.Object({
  hours: Defaulted(
    Type.Integer({ minimum: 1, maximum: 168, default: 24, description: 'How far back figures go' }),
  ),
})
export type OverviewQuery = Static<typeof OverviewQuery>

const Line = Type.Array(Type.Integer(), { description: 'One for each step' })

export const Overview = Type.Object(
  {
    since: Timestamp,
    until: Timestamp,
    step: StringEnum(['5m', '1h']),
    has: Type.Object(
      { plugin: Type.Boolean(), event: Type.Boolean(), flow: Type.Boolean() },
      { description: 'Whether the shop has any plugin, event and flow: what is left to set up' },
    ),
    counts: Type.Object({
      deliveries: Type.Object({
        attempts: Type.Integer(),
        sent: Type.Integer(),
        first_try: Type.Integer(),
        retried: Type.Integer(),
        failed: Type.Integer(),
        p50_ms: Nullable(Type.Integer()),
        p95_ms: Nullable(Type.Integer()),
      }),
      events: Type.Object({
        accepted: Type.Integer(),
        at_least: Type.Boolean({ description: 'There are more: it is counted up to 10,000' }),
      }),
      executions: Type.Object({
        completed: Type.Integer(),
        failed: Type.Integer(),
        cancelled: Type.Integer(),
        timed_out: Type.Integer(),
      }),
    }),
    sparklines: Type.Object(
      { sent: Line, retried: Line, failed: Line, executions: Line, executions_failed: Line },
      { description: 'From `since` on, a number for each step' },
    ),
    attention: Type.Array(
      Type.Object({
        kind: StringEnum(ATTENTION_KINDS),
        target: Nullable(
          Type.Object({
            type: StringEnum(['plugin', 'flow', 'platform', 'origin']),
            id: Nullable(
              Type.Unsafe<string>({
                type: 'string',
                format: 'uuid',
                description: 'Null: of no plugin or flow',
              }),
            ),
            slug: Nullable(Type.String({ description: 'Of a plugin' })),
            name: Type.String(),
          }),
        ),
        reason: Nullable(Type.String({ description: 'An error class or what else is known of its cause' })),
        count: Nullable(
          Type.Integer({
            description: 'What waits (up to 1,000), of how many executions failed, or how often in a row',
          }),
        ),
        share: Nullable(Type.Number({ description: 'Of a failing flow: of its executions that failed' })),
        since: Nullable(Timestamp),
        ends_at: Nullable(
          Type.Unsafe<Date | string>({
            type: 'string',
            format: 'date-time',
            description: "When a plugin's client certificate ends, or has ended",
          }),
        ),
        links: Type.Record(Type.String(), Type.String(), { description: 'Paths of this API' }),
      }),
      { description: 'What somebody has to look at, the gravest first; at most 20 of a kind' },
    ),
  },
  {
    $id: 'Overview',
    examples: [
      {
        since: '2026-05-01T10:00:00.000Z',
        until: '2026-05-01T12:00:00.000Z',
        step: '5m',
        has: { plugin: true, event: true, flow: true },
        counts: {
          deliveries: {
            attempts: 41,
            sent: 38,
            first_try: 36,
            retried: 2,
            failed: 1,
            p50_ms: 40,
            p95_ms: 210,
          },
          events: { accepted: 40, at_least: false },
          executions: { completed: 12, failed: 3, cancelled: 0, timed_out: 0 },
        },
        sparklines: {
          sent: [10, 28],
          retried: [0, 2],
          failed: [0, 1],
          executions: [5, 10],
          executions_failed: [1, 2],
        },
        attention: [
          {
            kind: 'plugin_failing',
            target: {
              type: 'plugin',
              id: '0197a3c1-8f00-7000-8000-000000000001',
              slug: 'email-marketing',
              name: 'Email marketing',
            },
            reason: 'http_5xx',
            count: 12,
            share: null,
            since: '2026-05-01T11:02:00.000Z',
            ends_at: null,
            links: {
              plugin: '/api/plugins/email-marketing',
              deliveries: '/api/plugins/events?plugin=email-marketing',
            },
          },
        ],
      },
    ],
  },
)
export type Overview = Static<typeof Overview>
