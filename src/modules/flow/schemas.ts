import { type Static, Type } from '@sinclair/typebox'
import { FLOW_PROBLEMS } from '../../lib/flow/index.ts'
import { Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '../../lib/schema.ts'
import { CHOSEN_STATUSES, DESCRIPTION_MAX_CHARS, NAME_MAX_CHARS } from './definition.ts'

const FLOW_STATUSES = ['draft', 'active', 'inactive', 'paused'] as const
const TRIGGER_TYPES = ['event', 'schedule', 'manual', 'webhook'] as const

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
export const Uuid = Type.String({ format: 'uuid', maxLength: 36 })
export const FlowParams = Type.Object({ id: Uuid })
export const FlowVersionParams = Type.Object({
  id: Uuid,
  version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
})
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 200,
      description:
        'The ETag that was read: the change is refused if the flow has moved on. Left out: whatever it is by now',
    }),
  ),
})

const LINEAR_EXAMPLE = {
  name: 'Welcome New Customer',
  trigger_event: 'customer.created',
  flow_definition: {
    steps: [
      { id: 'condition_1', type: 'condition', field: 'email', operator: 'exists' },
      {
        id: 'action_1',
        type: 'action',
        action_type: 'send_email',
        payload_template: { to: '{{trigger.email}}', subject: 'Welcome {{trigger.name}}!' },
      },
    ],
  },
}
const GRAPH_EXAMPLE = {
  name: 'Welcome New Customers',
  status: 'active',
  trigger: { type: 'event', event_types: ['customer.created'], plugin_id: 'platform' },
  steps: [
    {
      id: 'condition_1',
      type: 'condition',
      condition: { field: 'location.country', operator: 'equals', value: 'US' },
      on_true: 'action_1',
      on_false: 'end',
    },
    {
      id: 'action_1',
      type: 'action',
      plugin_id: 'platform',
      action_id: 'create_task',
      config: { title: 'Welcome {{trigger.name}}' },
    },
  ],
}

const ENVELOPE = {
  description: Type.Optional(Nullable(Type.String({ maxLength: DESCRIPTION_MAX_CHARS }))),
  tenant_id: Type.Optional(Uuid),
}

/** Open: what the compiler finds wrong with the rest is a problem of the flow, which a draft may have. */
export const FlowDefinition = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: NAME_MAX_CHARS, pattern: '\\S' }),
    ...ENVELOPE,
    status: Type.Optional(
      StringEnum(CHOSEN_STATUSES, {
        description:
          'What to create it as. Left out: active for the linear format, draft for the graph format. Of a flow that ' +
          'exists, `publish`, `activate` and `deactivate` change the status; this member is kept as it is sent.',
      }),
    ),
  },
  {
    $id: 'FlowDefinition',
    additionalProperties: true,
    description:
      'A flow in either format: linear (`trigger_event` and `flow_definition.steps`) or graph (`trigger` or ' +
      '`triggers`, `steps`, `error_handlers`). It is kept exactly as it is sent.',
    examples: [LINEAR_EXAMPLE, GRAPH_EXAMPLE],
  },
)

/** As it was sent: put into answers as text (answer.ts). */
const SentDefinition = Type.Optional(
  Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: true,
    description: 'Exactly as it was sent',
  }),
)

export const FlowProblem = Type.Object(
  {
    code: StringEnum(Object.keys(FLOW_PROBLEMS), { description: 'The contract: branch on this' }),
    severity: StringEnum(['error', 'warning'], { description: 'Only errors keep a flow from being active' }),
    pointer: Type.String({ description: 'JSON pointer into the definition' }),
    step_id: Nullable(Type.String()),
    message: Type.String({ description: 'What is wrong and how to mend it' }),
  },
  { $id: 'FlowProblem' },
)

const Trigger = Type.Object(
  {
    type: Type.String(),
    event_types: Type.Optional(Type.Array(Type.String())),
    cron: Type.Optional(Type.String()),
    timezone: Type.Optional(Type.String()),
  },
  { description: 'What the draft says of how it starts' },
)

const HEAD = {
  id: Uuid,
  name: Type.String(),
  description: Nullable(Type.String()),
  status: StringEnum(FLOW_STATUSES, { description: 'Paused: the service itself has stopped it' }),
  status_reason: Nullable(Type.String({ description: 'Why it is paused: `failing`, `self_triggering`' })),
  triggers: Type.Array(Trigger),
  published_version: Nullable(
    Type.Integer({ description: 'What runs while it is active; null: never published' }),
  ),
  revision: Type.Integer({ description: 'The ETag, without quotes; raised by every change' }),
  template_id: Nullable(Type.String({ description: 'The ready-made template that it came from' })),
  automation: Nullable(Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })),
  times_triggered: Type.Integer(),
  last_triggered_at: Nullable(Timestamp),
  consecutive_failures: Type.Integer({ description: 'After 20 failures in a row the flow is paused' }),
  created_at: Timestamp,
  updated_at: Timestamp,
}

export const FlowSummary = Type.Object(HEAD, { $id: 'FlowSummary' })
export type FlowSummary = Static<typeof FlowSummary>
export const FlowPage = Page(ref(FlowSummary), 'FlowPage')

const STATE = {
  format: StringEnum(['linear', 'graph']),
  has_unpublished_changes: Type.Boolean({
    description: 'Publishing it now would change what runs. False for a flow that was never published',
  }),
  problems: Type.Array(ref(FlowProblem), { description: 'Of the draft, as of now' }),
  schedules: Type.Array(
    Type.Object({
      trigger_id: Type.String(),
      next_fire_at: Timestamp,
      last_fired_at: Nullable(Timestamp),
    }),
    { description: 'Of an active flow: when its schedules come due' },
  ),
  inlets: Type.Array(
    Type.Object({
      trigger_id: Type.String(),
      url: Nullable(
        Type.String({ description: 'Who knows it can start the flow: null for keys of the role viewer' }),
      ),
    }),
    { description: 'Where webhook triggers are called' },
  ),
}

export const Flow = Type.Object({ ...HEAD, ...STATE, definition: SentDefinition }, { $id: 'Flow' })

export const FlowQuery = Type.Object(
  {
    ...PageQuery,
    status: Type.Optional(StringEnum(FLOW_STATUSES)),
    q: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100, description: 'Text in the name or the description' }),
    ),
    event: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: 'Flows that this event type starts, by their draft or by what is published',
      }),
    ),
    trigger: Type.Optional(
      StringEnum(TRIGGER_TYPES, { description: 'Flows with a trigger of this type, likewise' }),
    ),
    template_id: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
  },
  { additionalProperties: false },
)
export type FlowQuery = Static<typeof FlowQuery>

export const ReplaceFlowQuery = Type.Object(
  {
    publish: Type.Boolean({
      default: false,
      description: 'Publish it at once, as POST …/publish would: with errors, nothing is stored',
    }),
  },
  { additionalProperties: false },
)

export const FlowCheck = Type.Object(
  {
    valid: Type.Boolean({ description: 'It has no errors: it could be active' }),
    problems: Type.Array(ref(FlowProblem)),
  },
  { $id: 'FlowCheck' },
)

const CancelRunning = Type.Boolean({
  default: false,
  description: 'Cancel what is under way instead of letting it finish',
})

export const PublishRequest = Type.Object(
  {
    activate: Type.Boolean({
      default: true,
      description: 'False: a flow that is switched off stays so, a draft becomes inactive',
    }),
    cancel_running: CancelRunning,
  },
  { $id: 'PublishRequest', additionalProperties: false, default: {} },
)
export const DeactivateRequest = Type.Object(
  { cancel_running: CancelRunning },
  { $id: 'DeactivateRequest', additionalProperties: false, default: {} },
)

const running = (description: string) => Type.Integer({ description })
export const PublishedFlow = Type.Object(
  {
    ...HEAD,
    ...STATE,
    running_on_older_versions: running('Executions that still run on older versions, and finish there'),
    cancelled: running('Executions that were told to end, by `cancel_running`'),
    definition: SentDefinition,
  },
  { $id: 'PublishedFlow' },
)
export const DeactivatedFlow = Type.Object(
  {
    ...HEAD,
    ...STATE,
    running: running('Executions that are still under way, and finish'),
    cancelled: running('Executions that were told to end, by `cancel_running`'),
    definition: SentDefinition,
  },
  { $id: 'DeactivatedFlow' },
)

export const DuplicateRequest = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: NAME_MAX_CHARS,
        pattern: '\\S',
        description: 'Left out: the name with " (copy)"',
      }),
    ),
  },
  { $id: 'DuplicateRequest', additionalProperties: false, default: {} },
)

export const FlowVersionSummary = Type.Object(
  {
    version: Type.Integer(),
    is_published: Type.Boolean({ description: 'What runs while the flow is active' }),
    running: Type.Integer({ description: 'Executions of this version that have not ended' }),
    created_at: Timestamp,
  },
  { $id: 'FlowVersionSummary' },
)
export const FlowVersionPage = Page(ref(FlowVersionSummary), 'FlowVersionPage')
export const VersionQuery = Type.Object({ ...PageQuery }, { additionalProperties: false })
export const FlowVersion = Type.Object(
  {
    flow_id: Uuid,
    version: Type.Integer(),
    is_published: Type.Boolean(),
    created_at: Timestamp,
    definition: SentDefinition,
  },
  { $id: 'FlowVersion' },
)

export const RunRequest = Type.Object(
  {
    input: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      default: {},
      description: 'What `trigger` is in the flow, checked by the manual trigger’s `input_schema`',
    }),
  },
  {
    $id: 'RunRequest',
    additionalProperties: false,
    default: {},
    examples: [{ input: { customer_id: 'cus_1' } }],
  },
)
export const RunHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: 'The same key starts the flow once' }),
  ),
})
export const StartedRun = Type.Object(
  {
    execution_id: Nullable(Uuid),
    version: Type.Integer(),
    status: StringEnum(['queued', 'skipped', 'duplicate']),
    reason: Nullable(
      Type.String({
        description: 'Why it was skipped: `already_active`, `reentered_too_soon`, `rate_cap`, `halted` …',
      }),
    ),
  },
  { $id: 'StartedRun' },
)

export const NAMED = [
  FlowDefinition,
  FlowProblem,
  FlowSummary,
  FlowPage,
  Flow,
  FlowCheck,
  PublishRequest,
  DeactivateRequest,
  PublishedFlow,
  DeactivatedFlow,
  DuplicateRequest,
  FlowVersionSummary,
  FlowVersionPage,
  FlowVersion,
  RunRequest,
  StartedRun,
]
