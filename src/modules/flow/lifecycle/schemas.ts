import { Type } from '@sinclair/typebox'
import { ACTOR_KINDS } from '#infra/auth/actor.ts'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { NAME_MAX_CHARS } from '../definition/definition.ts'
import { FLOW_HEAD, FLOW_STATE, SentDefinition, Uuid } from '../schemas.ts'

export const FlowVersionParams = Type.Object({
  id: Uuid,
  version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
})

const NOTE_MAX_CHARS = 500

const CancelRunning = Defaulted(
  Type.Boolean({
    default: false,
    description: 'Cancel what is under way instead of letting it finish',
  }),
)

const CatchUp = Type.Optional(
  Type.Boolean({
    description:
      'Whether what the flow has missed since `off_since` starts now, each once and in order. Left out: only what it ' +
      'missed while the service had paused it as `failing`',
  }),
)
const CAUGHT_UP = {
  missed: Type.Integer({
    description: 'Starts that were missed while it was off; at most 50,000 are counted',
  }),
  taken_up: Type.Integer({ description: 'How many of them start now, before anything newer does' }),
}

export const CatchUpRequest = Type.Object(
  {
    since: Type.Optional(
      Type.String({ maxLength: 64, description: 'Only what was missed at this time or later' }),
    ),
    until: Type.Optional(
      Type.String({ maxLength: 64, description: 'Only what was missed before this time' }),
    ),
    dry_run: Defaulted(Type.Boolean({ default: false, description: 'Count only' })),
  },
  {
    $id: 'CatchUpRequest',
    additionalProperties: false,
    default: {},
    examples: [{ since: '2026-05-01T00:00:00Z', dry_run: true }],
  },
)
export const CatchUpResult = Type.Object(
  {
    ...CAUGHT_UP,
    remaining: Type.Integer({ description: 'More than one call takes up: call again until it is 0' }),
  },
  { $id: 'CatchUpResult' },
)

export const ActivateRequest = Type.Object(
  { catch_up: CatchUp },
  { $id: 'ActivateRequest', additionalProperties: false, default: {}, examples: [{ catch_up: true }] },
)

export const PublishRequest = Type.Object(
  {
    activate: Defaulted(
      Type.Boolean({
        default: true,
        description: 'False: a flow that is switched off stays so, a draft becomes inactive',
      }),
    ),
    cancel_running: CancelRunning,
    catch_up: CatchUp,
    note: Type.Optional(
      Nullable(
        Type.String({
          maxLength: NOTE_MAX_CHARS,
          description:
            'What the version is about, for those who read the list of versions; not kept where what runs stays the same',
        }),
      ),
    ),
  },
  {
    $id: 'PublishRequest',
    additionalProperties: false,
    default: {},
    examples: [{ activate: false, note: 'Reminds a day later' }],
  },
)
export const DeactivateRequest = Type.Object(
  { cancel_running: CancelRunning },
  {
    $id: 'DeactivateRequest',
    additionalProperties: false,
    default: {},
    examples: [{ cancel_running: true }],
  },
)

const running = (description: string) => Type.Integer({ description })
export const PublishedFlow = Type.Object(
  {
    ...FLOW_HEAD,
    ...FLOW_STATE,
    running_on_older_versions: running('Executions that still run on older versions, and finish there'),
    cancelled: running('Executions that were told to end, by `cancel_running`'),
    ...CAUGHT_UP,
    definition: SentDefinition,
  },
  { $id: 'PublishedFlow' },
)
export const ActivatedFlow = Type.Object(
  { ...FLOW_HEAD, ...FLOW_STATE, ...CAUGHT_UP, definition: SentDefinition },
  { $id: 'ActivatedFlow' },
)
export const DeactivatedFlow = Type.Object(
  {
    ...FLOW_HEAD,
    ...FLOW_STATE,
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
  {
    $id: 'DuplicateRequest',
    additionalProperties: false,
    default: {},
    examples: [{ name: 'Welcome, second try' }],
  },
)

const VERSION_ORIGIN = {
  created_at: Timestamp,
  created_by: Nullable(
    Type.Object(
      {
        kind: StringEnum(ACTOR_KINDS, { description: 'As in the audit log' }),
        id: Nullable(Type.String()),
        name: Nullable(Type.String({ description: 'Of the key, or the label of the portal link' })),
      },
      { description: 'Who published it; null for what an older release has published' },
    ),
  ),
  note: Nullable(Type.String({ description: 'What its publisher said about it' })),
}

const FlowVersionSummary = Type.Object(
  {
    version: Type.Integer(),
    is_published: Type.Boolean({ description: 'What runs while the flow is active' }),
    running: Type.Integer({ description: 'Executions of this version that have not ended' }),
    ...VERSION_ORIGIN,
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
    ...VERSION_ORIGIN,
    definition: SentDefinition,
  },
  { $id: 'FlowVersion' },
)

export const RunRequest = Type.Object(
  {
    input: Defaulted(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        default: {},
        description: 'What `trigger` is in the flow, checked by the manual trigger’s `input_schema`',
      }),
    ),
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
        description:
          'Why it was skipped: `already_active`, `reentered_too_soon`, `rate_cap`, `halted`, `not_active` …',
      }),
    ),
  },
  { $id: 'StartedRun' },
)

export const LIFECYCLE_SCHEMAS = [
  CatchUpRequest,
  CatchUpResult,
  ActivateRequest,
  ActivatedFlow,
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
