import { IN_WORDS } from './alert.ts'
import { type CatalogueType, count, ENTITIES, id, nullable, object, text, time } from './event-type.ts'

const PROPERTIES = {
  plugin: text,
  plugin_id: id,
  consecutive_failures: count,
  last_error_class: nullable(text),
  failing_since: nullable(time),
  cause: object({
    event: text,
    delivery_id: text,
    response_status: nullable({ type: 'integer' }),
    error_class: nullable(text),
  }),
  ...IN_WORDS,
}
const REQUIRED = ['plugin', 'plugin_id']

const DELIVERY = '0196f1d2-8f30-7d85-8d6f-8e4c3fc05b77'
const SAMPLE = {
  plugin: 'mailer',
  plugin_id: '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f',
  consecutive_failures: 10,
  last_error_class: 'connect_refused',
  failing_since: '2026-03-03T08:15:00.000Z',
  cause: {
    event: 'order.created',
    delivery_id: DELIVERY,
    response_status: null,
    error_class: 'connect_refused',
  },
  summary: 'mailer has failed to take 10 deliveries in a row: connect_refused.',
  what_to_do: `GET /api/plugins/events/${DELIVERY} shows what was sent and what came back. Mend the endpoint: what failed is sent again by itself, and the first success ends this.`,
} as const

/** Types of events in which this service tells about plugins. */
export const PLUGIN_TYPES: readonly CatalogueType[] = [
  {
    name: 'plugin.test',
    description: 'Sent on request to one plugin, to try its endpoint. Not stored, not in the feed.',
    entity: ENTITIES.plugin,
    sample: {
      plugin: 'mailer',
      plugin_id: SAMPLE.plugin_id,
      message: 'This is a test of your webhook endpoint.',
    },
    schema: object({ plugin: text, plugin_id: id, message: text }, ['plugin']),
  },
  {
    name: 'plugin.failing',
    description:
      'Deliveries to a plugin keep failing. They are retried, and wait while its circuit breaker is open.',
    entity: ENTITIES.plugin,
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'plugin.disabling_soon',
    description:
      'A plugin has been failing for so long that it is disabled in a day, at `disabled_at`, unless a delivery succeeds.',
    entity: ENTITIES.plugin,
    sample: {
      ...SAMPLE,
      consecutive_failures: 61,
      disabled_at: '2026-03-08T08:15:00.000Z',
      attempts_left: 0,
      summary:
        'mailer has been failing since 2026-03-03T08:15:00.000Z (connect_refused), and is disabled at 2026-03-08T08:15:00.000Z if it goes on.',
    },
    schema: object({ ...PROPERTIES, disabled_at: time, attempts_left: count }, [
      ...REQUIRED,
      'failing_since',
      'disabled_at',
      'cause',
    ]),
  },
  {
    name: 'plugin.disabled',
    description:
      'A plugin was disabled, because it failed for too long or answered 410. Its deliveries wait.',
    entity: ENTITIES.plugin,
    sample: {
      ...SAMPLE,
      consecutive_failures: 214,
      reason: 'failing',
      summary: 'mailer is disabled: it has been failing since 2026-03-03T08:15:00.000Z (connect_refused).',
    },
    schema: object({ ...PROPERTIES, reason: text }, REQUIRED),
  },
  {
    name: 'plugin.recovered',
    description: 'A plugin that was failing takes deliveries again.',
    entity: ENTITIES.plugin,
    sample: {
      plugin: SAMPLE.plugin,
      plugin_id: SAMPLE.plugin_id,
      consecutive_failures: 0,
      last_error_class: null,
      summary: 'mailer takes deliveries again.',
    },
    schema: object(PROPERTIES, REQUIRED),
  },
]

const QUEUE = { plugin: text, plugin_id: id, behind_since: time, ...IN_WORDS }

/** Types of events in which it tells about deliveries that wait for a plugin. */
export const QUEUE_TYPES: readonly CatalogueType[] = [
  {
    name: 'queue.behind',
    description:
      'A delivery to a plugin has been due for five minutes and was not sent, although nothing holds the plugin back: ' +
      'events come faster than it takes them (`slow`), than its rate limit lets through (`rate_limit`), or no worker ' +
      'has time for it (`no_worker`). Or one has waited for five minutes behind another of its key (`behind`), which ' +
      '`cause` names.',
    entity: ENTITIES.plugin,
    sample: {
      plugin: SAMPLE.plugin,
      plugin_id: SAMPLE.plugin_id,
      behind_since: '2026-03-03T08:15:00.000Z',
      waiting_seconds: 312,
      waiting: 1000,
      reason: 'slow',
      cause: { event: 'order.created', delivery_id: DELIVERY },
      summary:
        'What is due to mailer is 312 s late, 1000 deliveries wait: it takes deliveries slower than they come.',
      what_to_do: 'Answer before working on an event, or allow more requests at once by max_in_flight.',
    },
    schema: object(
      {
        ...QUEUE,
        waiting_seconds: count,
        waiting: count,
        reason: text,
        cause: object({ event: text, delivery_id: text }),
      },
      ['plugin', 'plugin_id', 'waiting_seconds', 'reason'],
    ),
  },
  {
    name: 'queue.caught_up',
    description: 'A queue that was behind is not any more: nothing has been due for a minute.',
    entity: ENTITIES.plugin,
    sample: {
      plugin: SAMPLE.plugin,
      plugin_id: SAMPLE.plugin_id,
      behind_since: '2026-03-03T08:15:00.000Z',
      summary: 'What is due to mailer is sent in time again.',
    },
    schema: object(QUEUE, ['plugin', 'plugin_id']),
  },
]
