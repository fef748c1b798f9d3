import { type Static, Type } from '@sinclair/typebox'
import { ResponseStatusQuery, TimeRangeQuery } from '#infra/http/log-filters.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { MAX_COMPLETION_TOKEN_CHARS } from './completion/token.ts'
import { ACTION_ERROR_CODES } from './errors.ts'

const DISPATCH_MAX_ACTIONS = 100
/** With whose it is in front. */
const EXECUTION_MAX_CHARS = 300

const ActionInput = Type.Object(
  {
    action_type: Type.String({ minLength: 1, maxLength: 128, examples: ['send_welcome_email'] }),
    payload: Type.Record(Type.String(), Type.Unknown(), { description: "The action's input" }),
    plugin_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: "A plugin's UUID or slug, or `platform`. Needed when several plugins have the action",
      }),
    ),
    event_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        pattern: '^[^#\\s][^\\s]*$',
        description: 'Unique within the execution. Without it the position counts',
      }),
    ),
  },
  { additionalProperties: false },
)

export const DispatchInput = Type.Object(
  {
    flow_execution_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description: 'What makes the request safe to repeat: with it, what succeeded is not done again',
      }),
    ),
    events: Type.Array(ActionInput, { minItems: 1, maxItems: DISPATCH_MAX_ACTIONS }),
    mode: Type.Optional(StringEnum(['sequential', 'parallel'], { default: 'sequential' })),
    tenant_id: Type.Optional(Type.String({ format: 'uuid' })),
  },
  {
    $id: 'DispatchInput',
    additionalProperties: false,
    examples: [
      {
        flow_execution_id: 'flow_123',
        events: [
          { action_type: 'create_customer', payload: { email: 'ada@example.com', name: 'Ada' } },
          {
            action_type: 'send_welcome_email',
            plugin_id: 'email-marketing',
            payload: { to: 'ada@example.com', template: 'welcome' },
          },
        ],
      },
    ],
  },
)
export type DispatchInput = Static<typeof DispatchInput>

const ActionError = Type.Object({
  code: Type.String({
    description:
      `One of: ${ACTION_ERROR_CODES.join(', ')}; or what the platform or plugin calls it, with platform_ or plugin_ ` +
      'before a name that is among these',
    examples: ['missing_field'],
  }),
  message: Type.String(),
})

export const DispatchedAction = Type.Object(
  {
    action_type: Type.String(),
    success: Type.Boolean(),
    status: StringEnum(['succeeded', 'failed', 'accepted'], {
      description: 'accepted: the plugin answered 202 and completes it later',
    }),
    data: Type.Optional(Type.Unknown({ description: "The action's answer; absent on failure" })),
    error: Type.Optional(ActionError),
    response_status: Nullable(Type.Integer()),
    duration_ms: Type.Integer(),
    attempts: Type.Integer(),
    replayed: Type.Boolean({ description: 'Done by an earlier request with the same flow_execution_id' }),
    invocation_id: Nullable(Type.String({ format: 'uuid' })),
  },
  { $id: 'DispatchedAction' },
)

export const DispatchResult = Type.Object(
  {
    flow_execution_id: Type.String(),
    results: Type.Array(ref(DispatchedAction), { description: 'In the order asked for' }),
    summary: Type.Object({ total: Type.Integer(), succeeded: Type.Integer(), failed: Type.Integer() }),
  },
  { $id: 'DispatchResult' },
)
export type DispatchResult = Static<typeof DispatchResult>

export const EventLogQuery = Type.Object({
  ...PageQuery,
  execution: Type.Optional(
    Type.String({
      maxLength: EXECUTION_MAX_CHARS,
      description: '`flow_execution_id`; of what a plugin dispatched `plugin:<its UUID>:<flow_execution_id>`',
    }),
  ),
  action: Type.Optional(Type.String({ maxLength: 128, description: 'action_type' })),
  plugin: Type.Optional(Type.String({ maxLength: 64, description: 'Slug, or `platform`' })),
  success: Type.Optional(Type.Boolean()),
  ...TimeRangeQuery,
  error_code: Type.Optional(
    Type.String({ maxLength: 64, pattern: '^[a-z0-9_]+$', description: '`code` of the error' }),
  ),
  response_status: ResponseStatusQuery,
  attempts_min: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 2_147_483_647, description: 'At least so many attempts' }),
  ),
})
export type EventLogQuery = Static<typeof EventLogQuery>

export const EventLogEntry = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    flow_execution_id: Type.String({
      description:
        'As the caller of a dispatch has named it, or the id of a run. Of what a plugin dispatched: `plugin:<its UUID>:` in front ' +
        'of what it was answered with, which others may write, too: `dispatched_by` of one entry goes by the key',
    }),
    event_key: Type.String(),
    action_type: Type.String(),
    plugin: Nullable(Type.String()),
    payload: Type.Unknown({ description: 'As it was written, unless it has secrets: they are redacted' }),
    result: Type.Unknown({ description: 'The answer or the error; secrets redacted' }),
    success: Type.Boolean(),
    status: StringEnum(['succeeded', 'failed', 'accepted']),
    error_code: Nullable(Type.String()),
    response_status: Nullable(Type.Integer()),
    attempts: Type.Integer(),
    duration_ms: Type.Integer(),
    invocation_id: Nullable(Type.String({ format: 'uuid' })),
    key_id: Nullable(
      Type.String({
        format: 'uuid',
        description: 'The key that asked for it; null: none, or that of the environment',
      }),
    ),
    created_at: Timestamp,
  },
  { $id: 'EventLogEntry' },
)

export const EventLogDetail = Type.Object(
  {
    ...EventLogEntry.properties,
    key_name: Nullable(Type.String({ description: 'The name of that key, as long as it is kept' })),
    dispatched_by: Nullable(
      Type.String({
        description: 'Slug of the plugin that dispatched it by its own key, as long as that key is kept',
      }),
    ),
    invocation: Nullable(
      Type.Object(
        {
          status: StringEnum(['running', 'accepted', 'succeeded', 'failed']),
          complete_until: Nullable(Timestamp),
          finished_at: Nullable(Timestamp),
        },
        {
          description:
            'How it stands now, and until when the plugin may complete what it accepted; null: nothing is kept of it, as of ' +
            'what a flow called and was answered at once',
        },
      ),
    ),
    execution: Nullable(
      Type.Object(
        {
          id: Type.String({ format: 'uuid' }),
          flow_id: Type.String({ format: 'uuid' }),
          flow_name: Nullable(Type.String({ description: 'Null: the flow is gone' })),
          event_id: Nullable(Type.String({ format: 'uuid', description: 'The event that started it' })),
        },
        {
          description:
            'The run of a flow that asked for it; null: a dispatch did, or the run is no longer kept. A dispatch without a key of ' +
            "the service's own (`key_id` is null) that gave the id of a run as its own shows that run, too",
        },
      ),
    ),
  },
  { $id: 'EventLogDetail' },
)
export type EventLogDetail = Static<typeof EventLogDetail>

export const EventLogParams = Type.Object({ id: Type.String({ format: 'uuid' }) })

export const EventLogPage = Page(ref(EventLogEntry), 'EventLogPage')

export const CompletionParams = Type.Object({ invocation_id: Type.String({ format: 'uuid' }) })

export const CompletionHeaders = Type.Object({
  'x-completion-token': Type.Optional(
    Type.String({
      maxLength: MAX_COMPLETION_TOKEN_CHARS,
      description: 'Any one that came with the action: without it there is nothing to find',
    }),
  ),
})

export const CompletionInput = Type.Object(
  {
    success: Type.Boolean(),
    data: Type.Optional(Type.Unknown()),
    error: Type.Optional(
      Type.Object(
        {
          code: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' })),
          message: Type.String({ maxLength: 500 }),
        },
        { additionalProperties: false },
      ),
    ),
  },
  {
    $id: 'CompletionInput',
    additionalProperties: false,
    examples: [{ success: true, data: { message_id: 'm_1' } }],
  },
)
export type CompletionInput = Static<typeof CompletionInput>

export const Completion = Type.Object(
  { invocation_id: Type.String({ format: 'uuid' }), status: StringEnum(['succeeded', 'failed']) },
  { $id: 'Completion' },
)
export type Completion = Static<typeof Completion>
