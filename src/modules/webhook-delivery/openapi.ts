import type { Webhooks } from '#infra/http/openapi.ts'
import { CATALOGUE } from '#modules/event/index.ts'

const TENANT_ID = '11111111-1111-1111-1111-111111111111'
const TIMESTAMP = '2026-03-01T09:30:00.000Z'

/** The headers of every signed request, as its description has them. */
export const SIGNATURE_HEADERS = [
  {
    name: 'webhook-id',
    description: "The event's id, the same over all attempts and replays: what to be idempotent by",
    schema: { type: 'string', format: 'uuid' },
    example: '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f',
  },
  {
    name: 'webhook-timestamp',
    description:
      'When this attempt was made, in seconds since 1970. Refuse what is off by more than five minutes',
    schema: { type: 'string', pattern: '^\\d+$' },
    example: '1772357400',
  },
  {
    name: 'webhook-signature',
    description:
      'One signature for each live secret, separated by spaces: `v1,` and the base64 of the HMAC-SHA256 of ' +
      '`{webhook-id}.{webhook-timestamp}.{body}`',
    schema: { type: 'string' },
    example: 'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=',
  },
  {
    name: 'webhook-tenant',
    description: 'The shop, as in the body. Outside of the signature: to route by before it is checked',
    schema: { type: 'string', format: 'uuid' },
    example: TENANT_ID,
  },
].map((header) => ({ ...header, in: 'header', required: true }))

const DELIVERY_HEADERS = [
  ...SIGNATURE_HEADERS,
  {
    name: 'webhook-event',
    description: 'The event type, as in the body',
    schema: { type: 'string' },
    example: 'product.created',
  },
  {
    name: 'webhook-publisher',
    description:
      'Who says so: `platform`, which is the platform, the shop or the service, or the slug of the plugin that ' +
      'published the event by its own key',
    schema: { type: 'string' },
    example: 'platform',
  },
  {
    name: 'webhook-attempt',
    description: 'Which attempt at this delivery it is: 1 for the first',
    schema: { type: 'string', pattern: '^\\d+$' },
    example: '1',
  },
  {
    name: 'x-causation-id',
    description: 'The event: to be handed back with events that are published because of it',
    schema: { type: 'string', format: 'uuid' },
    example: '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f',
  },
  {
    name: 'x-causation-depth',
    description: 'How far it is from a person or system: to be handed back, too',
    schema: { type: 'string', pattern: '^\\d+$' },
    example: '1',
  },
  {
    name: 'x-causation-token',
    description: 'What id and depth are believed by when they are handed back: to be handed back with them',
    schema: { type: 'string', pattern: '^[A-Za-z0-9_-]+$' },
    example: 'rKk0pQ8mE2V1yQe0nq3m1l7C5h0tJ9b6Yd4sZwXaUvE',
  },
].map((header) => ({
  ...header,
  in: 'header',
  required: !['x-causation-id', 'x-causation-token'].includes(header.name),
}))

const RESPONSES = {
  '2XX': { description: 'The delivery is done. Answer before you work on it' },
  '410': { description: 'No more, ever: the delivery has failed and the plugin is disabled' },
  '429': {
    description: 'Too many: tried again, not before Retry-After (seconds or a date, at most one hour)',
  },
  '503': {
    description: 'Not now: tried again, not before Retry-After (seconds or a date, at most one hour)',
  },
  default: {
    description:
      "Any other answer (a redirect, too) or none in time: tried again by the plugin's retry schedule",
  },
}

const HEALTH = {
  plugin: 'email-marketing',
  plugin_id: '0196f1d2-0a4e-7d31-8f11-6c0d5b7a9e20',
  consecutive_failures: 5,
  last_error_class: 'connect_refused',
}

const HEALTH_SCHEMA = {
  type: 'object',
  properties: {
    plugin: { type: 'string', description: "The plugin's slug" },
    plugin_id: { type: 'string', format: 'uuid' },
    consecutive_failures: { type: 'integer' },
    last_error_class: { type: ['string', 'null'], description: 'What went wrong last, see docs/webhooks.md' },
    failing_since: { type: ['string', 'null'], format: 'date-time' },
    cause: {
      type: 'object',
      description: 'The delivery that it follows from',
      properties: {
        event: { type: 'string' },
        delivery_id: { type: 'string', format: 'uuid' },
        response_status: { type: ['integer', 'null'] },
        error_class: { type: ['string', 'null'] },
      },
    },
    summary: { type: 'string', description: 'What happened, in a sentence' },
    what_to_do: { type: 'string' },
  },
  required: ['plugin', 'plugin_id', 'consecutive_failures', 'last_error_class'],
}

const FLOW_ERROR = {
  type: ['object', 'null'],
  properties: {
    step_id: { type: ['string', 'null'] },
    code: { type: 'string' },
    message: { type: 'string' },
  },
  required: ['step_id', 'code', 'message'],
}

/** Describes what a plugin receives as deliveries. */
export function webhookDocuments(): Webhooks {
  return {
    delivery: webhook({
      operationId: 'receiveEvent',
      summary: 'An event that the plugin subscribes to',
      description:
        'Signed by Standard Webhooks 1.0. `data` is as it came in at POST /api/events; GET /api/event-types has ' +
        'a sample and a schema for each type. Order is best effort, and the same event may come more than once.',
      event: { type: 'string', pattern: '^[A-Za-z0-9_/-]+(\\.[A-Za-z0-9_/-]+)*$', maxLength: 128 },
      data: { type: 'object', additionalProperties: true },
      example: [
        'product.created',
        { product_id: 'prod_8Qk2Zt', name: 'Linen apron', price: 39.9, status: 'active' },
      ],
    }),
    'plugin.test': webhook({
      operationId: 'receivePluginTest',
      summary: 'A test of the endpoint',
      description: 'Sent once by POST /api/plugins/{slug}/test, whatever the plugin subscribes to.',
      data: {
        type: 'object',
        properties: { plugin: { type: 'string' }, message: { type: 'string' } },
        required: ['plugin', 'message'],
      },
      example: [
        'plugin.test',
        { plugin: HEALTH.plugin, message: 'This is a test of your webhook endpoint.' },
      ],
    }),
    'plugin.failing': webhook({
      operationId: 'receivePluginFailing',
      summary: 'Deliveries to a plugin keep failing',
      description: 'Told once, after five failures in a row. They are retried.',
      data: HEALTH_SCHEMA,
      example: ['plugin.failing', HEALTH],
    }),
    'plugin.disabling_soon': catalogued('plugin.disabling_soon', {
      operationId: 'receivePluginDisablingSoon',
      summary: 'A plugin is about to be disabled',
      description: 'Told once in a streak of failures, a day before.',
    }),
    'plugin.disabled': webhook({
      operationId: 'receivePluginDisabled',
      summary: 'A plugin was disabled',
      description: 'Its deliveries wait until somebody resumes it.',
      data: {
        ...HEALTH_SCHEMA,
        properties: {
          ...HEALTH_SCHEMA.properties,
          reason: { enum: ['failing', 'gone'], description: 'gone: it answered 410' },
        },
        required: [...HEALTH_SCHEMA.required, 'reason'],
      },
      example: ['plugin.disabled', { ...HEALTH, consecutive_failures: 214, reason: 'failing' }],
    }),
    'plugin.recovered': webhook({
      operationId: 'receivePluginRecovered',
      summary: 'A plugin that was failing takes deliveries again',
      description: 'Told once, after `plugin.failing`.',
      data: HEALTH_SCHEMA,
      example: ['plugin.recovered', { ...HEALTH, consecutive_failures: 0 }],
    }),
    'queue.behind': catalogued('queue.behind', {
      operationId: 'receiveQueueBehind',
      summary: "A plugin's deliveries are late",
      description: 'Told once, until it has caught up, which `queue.caught_up` tells.',
    }),
    'queue.caught_up': catalogued('queue.caught_up', {
      operationId: 'receiveQueueCaughtUp',
      summary: "A plugin's deliveries are in time again",
      description: 'Told once, after `queue.behind`.',
    }),
    'flow.failing': catalogued('flow.failing', {
      operationId: 'receiveFlowFailing',
      summary: 'A flow keeps failing',
      description: 'Told once, until it has recovered, which `flow.recovered` tells.',
    }),
    'flow.recovered': catalogued('flow.recovered', {
      operationId: 'receiveFlowRecovered',
      summary: 'A flow that was failing is well again',
      description: 'Told once, after `flow.failing`.',
    }),
    'flow.paused': webhook({
      operationId: 'receiveFlowPaused',
      summary: 'A flow was paused by the service',
      description: 'What meets it meanwhile is kept, and taken up when somebody activates it.',
      data: {
        type: 'object',
        properties: {
          flow: { type: 'string', description: "The flow's name" },
          flow_id: { type: 'string', format: 'uuid' },
          reason: { enum: ['failing', 'self_triggering'] },
          cause: {
            ...FLOW_ERROR,
            description: 'Of `failing`: what went wrong last',
          },
          executions: {
            type: 'array',
            description: 'The last ones, newest first, at most five',
            items: {
              type: 'object',
              properties: {
                id: { type: 'string', format: 'uuid' },
                status: { type: 'string' },
                reason: { type: ['string', 'null'] },
                event_id: { type: ['string', 'null'], format: 'uuid' },
                error: FLOW_ERROR,
              },
              required: ['id', 'status', 'reason', 'event_id', 'error'],
            },
          },
          summary: { type: 'string', description: 'What happened, in a sentence' },
          what_to_do: { type: 'string' },
        },
        required: ['flow', 'flow_id', 'reason', 'cause', 'executions'],
      },
      example: [
        'flow.paused',
        {
          flow: 'Welcome New Customers',
          flow_id: '0196f1d2-7d10-7a52-8a3c-5b1f0c9d2e44',
          reason: 'failing',
          cause: { step_id: 'mail', code: 'http_4xx', message: 'No such template' },
          executions: [],
        },
      ],
    }),
  }
}

/** Describes an event as the catalogue has it. */
function catalogued(
  type: string,
  operation: Pick<Webhook, 'operationId' | 'summary' | 'description'>,
): object {
  const known = CATALOGUE.get(type)
  if (known === undefined) throw new Error(`no ${type} in the catalogue`)
  return webhook({ ...operation, data: known.schema, example: [type, known.sample] })
}

interface Webhook {
  operationId: string
  summary: string
  description: string
  /** Schema of the body's `event`. Default: the example's, as a constant. */
  event?: object
  data: object
  example: [event: string, data: object]
}

function webhook({ event, data, example, ...operation }: Webhook): object {
  const [type, exampleData] = example
  return {
    post: {
      ...operation,
      tags: ['deliveries'],
      security: [],
      parameters: DELIVERY_HEADERS,
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              properties: {
                event: event ?? { const: type },
                tenant_id: { type: 'string', format: 'uuid', description: 'The shop' },
                timestamp: { type: 'string', format: 'date-time', description: 'When it happened' },
                data,
              },
              required: ['event', 'tenant_id', 'timestamp', 'data'],
            },
            example: { event: type, tenant_id: TENANT_ID, timestamp: TIMESTAMP, data: exampleData },
          },
        },
      },
      responses: RESPONSES,
    },
  }
}
