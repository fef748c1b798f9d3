import { type Static, Type } from '@sinclair/typebox'
import { FLOW_PROBLEMS } from '#lib/flow/index.ts'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { CHOSEN_STATUSES, DESCRIPTION_MAX_CHARS, NAME_MAX_CHARS } from './definition/definition.ts'

const FLOW_STATUSES = ['draft', 'active', 'inactive', 'paused'] as const
const TRIGGER_TYPES = ['event', 'schedule', 'manual', 'webhook'] as const

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
export const Uuid = Type.String({ format: 'uuid', maxLength: 36 })
export const FlowParams = Type.Object({ id: Uuid })

export const LINEAR_EXAMPLE = {
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
export const GRAPH_EXAMPLE = {
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
export const SentDefinition = Type.Optional(
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

export const FLOW_HEAD = {
  id: Uuid,
  name: Type.String(),
  description: Nullable(Type.String()),
  status: StringEnum(FLOW_STATUSES, { description: 'Paused: the service itself has stopped it' }),
  status_reason: Nullable(Type.String({ description: 'Why it is paused: `failing`, `self_triggering`' })),
  off_since: Nullable(
    Type.Unsafe<Date | string>({
      ...Timestamp,
      description: 'Since when it is paused or switched off: what meets it since then is kept as `skipped`',
    }),
  ),
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

export const FlowSummary = Type.Object(FLOW_HEAD, { $id: 'FlowSummary' })
export type FlowSummary = Static<typeof FlowSummary>
export const FlowPage = Page(ref(FlowSummary), 'FlowPage')

export const FLOW_STATE = {
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

export const Flow = Type.Object({ ...FLOW_HEAD, ...FLOW_STATE, definition: SentDefinition }, { $id: 'Flow' })

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
    publish: Defaulted(
      Type.Boolean({
        default: false,
        description: 'Publish it at once, as POST …/publish would: with errors, nothing is stored',
      }),
    ),
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

export const NAMED = [FlowDefinition, FlowProblem, FlowSummary, FlowPage, Flow, FlowCheck]
