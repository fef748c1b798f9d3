import type { Webhooks } from '#infra/http/openapi.ts'
import { SIGNATURE_HEADERS } from '#modules/webhook-delivery/index.ts'

const INVOCATION_ID = '0196f1d2-7f30-7b52-b0c4-51a7c3f0e8d6'
const EVENT_ID = '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f'
const EXECUTION_ID = '0196f1d2-7e11-7a90-8d35-2b9f4c6a1e07'

interface Header {
  name: string
  in: string
  required: boolean
  description: string
  schema: object
  example: string
}

const header = (name: string, required: boolean, description: string, schema: object, example: string) =>
  ({ name, in: 'header', required, description, schema, example }) satisfies Header

const OWN_HEADERS: Header[] = [
  header(
    'idempotency-key',
    true,
    'The same over all attempts at one action, unique within a tenant: what to do it once by',
    { type: 'string', maxLength: 200 },
    `${EXECUTION_ID}:welcome`,
  ),
  header(
    'x-completion-token',
    true,
    'What to complete the action with, at POST /api/actions/{invocation_id}/complete, after an answer of 202',
    { type: 'string' },
    'eyJ2IjoxfQ',
  ),
  header(
    'x-causation-id',
    false,
    'The event that started the flow. Hand it back with the events that you publish because of this call',
    { type: 'string', format: 'uuid' },
    EVENT_ID,
  ),
  header(
    'x-causation-depth',
    false,
    'Automations between this call and what a person or system did first. Hand it back like the id',
    { type: 'string', pattern: '^\\d+$' },
    '1',
  ),
  header(
    'x-causation-token',
    false,
    'What the id and the depth are believed by. Hand it back with them',
    { type: 'string', pattern: '^[A-Za-z0-9_-]+$' },
    'rKk0pQ8mE2V1yQe0nq3m1l7C5h0tJ9b6Yd4sZwXaUvE',
  ),
]

const MESSAGE = {
  type: 'object',
  properties: {
    error: {
      description: 'What people read: a text, or an object with the message',
      anyOf: [
        { type: 'string' },
        { type: 'object', properties: { code: { type: 'string' }, message: { type: 'string' } } },
      ],
    },
    message: { type: 'string', description: 'Read where there is no `error`' },
  },
}

const nullable = (type: string, description: string) => ({ type: [type, 'null'], description })

const CONTEXT = {
  type: 'object',
  description: 'Of an action that a flow does: where it stands, and what started the flow',
  properties: {
    flow_id: { type: 'string', format: 'uuid' },
    flow_version: { type: 'integer' },
    step_id: { type: 'string' },
    iteration: nullable('integer', "The item's number in a loop, from 0"),
    error: {
      type: ['object', 'null'],
      description: 'After an error port and in error handlers: what went wrong',
      properties: { step_id: { type: 'string' }, code: { type: 'string' }, message: { type: 'string' } },
    },
    trigger: {
      type: 'object',
      properties: {
        event: nullable('string', 'The type of the event; null: no event started the flow'),
        event_id: nullable('string', 'To read it by, at GET /api/events/{id}'),
        data: { description: "The event's data, the input or the webhook's body; null above 64 KB" },
        data_omitted: { type: 'boolean', description: 'It is above 64 KB' },
      },
      required: ['event', 'event_id', 'data', 'data_omitted'],
    },
  },
  required: ['flow_id', 'flow_version', 'step_id', 'iteration', 'error', 'trigger'],
}

const RESPONSES = {
  '200': {
    description: "Done. The JSON, at most 256 KB, is the action's `data`; any other 2xx says the same",
    content: { 'application/json': { schema: {}, example: { message_id: 'm_83hf' } } },
  },
  '202': {
    description: 'Accepted: done later, and told by POST /api/actions/{invocation_id}/complete',
    content: { 'application/json': { schema: {}, example: { queued: true } } },
  },
  '4XX': {
    description: 'It cannot be done: failed at once, except 408, 425 and 429',
    content: { 'application/json': { schema: MESSAGE, example: { error: 'There is no such list.' } } },
  },
  default: {
    description:
      'A 408, 425, 429, 5xx or no answer in time: asked again where the action is `idempotent`, or where the request ' +
      'cannot have arrived; `Retry-After` counts. A redirect is a failure',
  },
}

/** Describes an action's call beside the webhooks: signed like them, but answered with its result. */
export function actionCallDocument(): Webhooks {
  const [id, ...others] = SIGNATURE_HEADERS
  const call: object = {
    post: {
      operationId: 'receiveAction',
      summary: 'An action that the plugin has registered',
      description:
        "Sent to the action's `endpoint` below the plugin's `base_url` (default: the `webhook_url`) by its `method`, " +
        'when a flow or a dispatch asks for it. Signed by Standard Webhooks 1.0, like events.',
      tags: ['actions'],
      security: [],
      parameters: [
        { ...id, description: "The invocation's id, as in the body", example: INVOCATION_ID },
        ...others,
        ...OWN_HEADERS,
      ],
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              description:
                "The payload's members also stand at the top level, unless they are called like one of these",
              additionalProperties: true,
              properties: {
                action_type: { type: 'string' },
                tenant_id: { type: 'string', format: 'uuid', description: 'The shop' },
                flow_execution_id: { type: 'string', description: 'What it belongs to' },
                invocation_id: { type: 'string', format: 'uuid' },
                payload: {
                  type: 'object',
                  additionalProperties: true,
                  description: "Checked against the action's `input_schema`",
                },
                context: CONTEXT,
              },
              required: ['action_type', 'tenant_id', 'flow_execution_id', 'invocation_id', 'payload'],
            },
            example: {
              action_type: 'send_welcome_email',
              tenant_id: '11111111-1111-1111-1111-111111111111',
              flow_execution_id: EXECUTION_ID,
              invocation_id: INVOCATION_ID,
              payload: { to: 'ada@example.com', name: 'Ada' },
              to: 'ada@example.com',
              name: 'Ada',
            },
          },
        },
      },
      responses: RESPONSES,
    },
  }
  return { action: call }
}
