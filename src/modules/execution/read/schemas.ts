import { type Static, Type } from '@sinclair/typebox'
import { StatusesQuery } from '#infra/http/log-filters.ts'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'

export const EXECUTION_STATUSES = [
  'queued',
  'running',
  'waiting',
  'completed',
  'failed',
  'cancelled',
  'timed_out',
  'skipped',
] as const
const TRIGGER_KINDS = ['event', 'schedule', 'manual', 'webhook'] as const
const STEP_STATUSES = ['succeeded', 'failed', 'skipped', 'simulated'] as const
const WAIT_REASONS = ['delay', 'event', 'retry', 'completion', 'hours'] as const

/** Steps that one answer holds at most. */
const STEPS_PAGE_MAX = 500

const Uuid = Type.String({ format: 'uuid', maxLength: 36 })
const STEP_ID = '^[a-z][a-z0-9_]{0,63}$'
const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 40, description })

/** The filter of lists and bulk changes. */
export const ExecutionFilterFields = {
  flow: Type.Optional(Type.String({ format: 'uuid', maxLength: 36, description: "The flow's id" })),
  key: Type.Optional(
    Type.String({ minLength: 1, maxLength: 500, description: 'Enrolment key, as the flow made it' }),
  ),
  since: Type.Optional(Time('Created then or later')),
  until: Type.Optional(Time('Created before then')),
}

export const ExecutionQuery = Type.Object(
  {
    ...PageQuery,
    ...ExecutionFilterFields,
    status: StatusesQuery(EXECUTION_STATUSES),
    q: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 500,
        description: 'Its id or its enrolment key, or the beginning of one',
      }),
    ),
    reason: Type.Optional(
      Type.String({ maxLength: 64, pattern: '^[a-z_]+$', description: 'Why it waits or how it ended' }),
    ),
    error_code: Type.Optional(
      Type.String({
        maxLength: 64,
        pattern: '^[a-z0-9_]+$',
        description: '`code` of the error it ended with',
      }),
    ),
    event_id: Type.Optional(
      Type.String({ format: 'uuid', maxLength: 36, description: 'The event that started it; no retries' }),
    ),
  },
  { additionalProperties: false },
)
export type ExecutionQuery = Static<typeof ExecutionQuery>

export const ExecutionParams = Type.Object({ id: Uuid })

const ExecutionError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  step_id: Nullable(Type.String({ description: 'Where it happened; null: before the first step' })),
})

export const HeldBack = Type.Object(
  {
    type: StringEnum(['plugin', 'platform', 'origin'], {
      description: 'Whose call it is. An `origin` (scheme, host and port) is one for all paths of all flows',
    }),
    name: Type.String({ description: "The plugin's name, `platform`, or the origin" }),
    plugin: Nullable(Type.String({ description: "The plugin's slug; null: it is none, or is gone" })),
    action_type: Nullable(Type.String({ description: 'The action that it asks for; null: of an origin' })),
    first: Type.Object(
      {
        id: Uuid,
        tries_at: Nullable(
          Type.Unsafe<string>({
            type: 'string',
            format: 'date-time',
            description: 'When it tries again; null: it is at it',
          }),
        ),
        error: Nullable(
          Type.Object(
            { code: Type.String(), message: Type.String() },
            {
              description:
                'Its last failure; null: it has not tried yet, or its plugin takes no more for now and was not asked',
            },
          ),
        ),
      },
      { description: 'The execution that tries for all that wait for the same: it may be this one' },
    ),
  },
  {
    $id: 'HeldBack',
    description: 'Whom it waits for, as others do, because its call is refused for now; null: for nobody',
  },
)
export type HeldBack = Static<typeof HeldBack>

const fields = {
  id: Uuid,
  flow_id: Uuid,
  flow_name: Nullable(Type.String()),
  version: Type.Integer({ description: "The flow's version that it runs, whatever is published meanwhile" }),
  status: StringEnum(EXECUTION_STATUSES),
  reason: Nullable(
    Type.String({
      description:
        'Waiting: delay, event, retry, completion. Completed: done, filtered, stopped. Skipped, failed or cancelled: why',
    }),
  ),
  handled: Type.Boolean({ description: 'It failed, and an error handler has dealt with it' }),
  trigger_kind: StringEnum(TRIGGER_KINDS),
  event_id: Nullable(Type.String({ format: 'uuid', description: 'The event that started it' })),
  key: Nullable(Type.String({ description: 'What it is enrolled under' })),
  retry_of: Nullable(Type.String({ format: 'uuid', description: 'The execution that it does again' })),
  step_count: Type.Integer({ description: 'Steps done so far' }),
  carried_steps: Type.Integer({
    description: 'Of a retry: how many of them the execution that it retries did',
  }),
  cancel_requested: Type.Boolean({ description: 'It runs, and ends at its next step' }),
  held_back: Nullable(ref(HeldBack)),
  error: Nullable(ExecutionError),
  created_at: Timestamp,
  started_at: Nullable(Timestamp),
  finished_at: Nullable(Timestamp),
  duration_ms: Nullable(Type.Integer({ description: 'From its creation to its end, waits included' })),
}

export const Execution = Type.Object(fields, { $id: 'Execution' })
export type Execution = Static<typeof Execution>
export const ExecutionPage = Page(ref(Execution), 'ExecutionPage')

export const ExecutionAttempt = Type.Object(
  {
    number: Type.Integer({ description: 'From 1' }),
    status: StringEnum(['succeeded', 'failed']),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    ended_at: Timestamp,
    duration_ms: Nullable(Type.Integer({ description: 'Null: it was accepted, and completed later' })),
    next_at: Nullable(
      Type.Unsafe<string>({
        type: 'string',
        format: 'date-time',
        description: 'When the next attempt was or is due; null: there was to be none',
      }),
    ),
  },
  { $id: 'ExecutionAttempt' },
)
export type ExecutionAttempt = Static<typeof ExecutionAttempt>

const AttemptLog = (description: string) => Type.Array(ref(ExecutionAttempt), { description })

export const ExecutionStep = Type.Object(
  {
    number: Type.Integer({ description: 'In the order in which they ended, from 0' }),
    step_id: Type.String(),
    iteration: Type.String({ description: "In a loop's body the item's index, else empty" }),
    type: Type.String({ examples: ['action'] }),
    status: StringEnum(STEP_STATUSES),
    port: Nullable(Type.String({ description: 'The way out that was taken' })),
    input: Type.Unknown({ description: 'What was sent; secrets redacted' }),
    output: Type.Unknown({ description: 'Secrets redacted' }),
    error: Nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    attempts: Type.Integer(),
    attempt_log: AttemptLog(
      'Of a step that was tried more than once: its attempts, the latest 10, in a loop the latest 3',
    ),
    note: Nullable(Type.String()),
    started_at: Timestamp,
    finished_at: Timestamp,
    duration_ms: Type.Integer(),
    carried_over: Type.Boolean({ description: 'Done by the execution that this one retries' }),
  },
  { $id: 'ExecutionStep' },
)
export type ExecutionStep = Static<typeof ExecutionStep>

/** A step that an execution is at: in its detail, and as the stream tells that one has begun. */
export const ExecutionStepStarted = Type.Object(
  {
    step_id: Type.String(),
    iteration: Type.String({ description: "In a loop's body the item's index, else empty" }),
    since: Nullable(
      Type.Unsafe<string>({ type: 'string', format: 'date-time', description: 'When the step began' }),
    ),
    attempt: Type.Integer({ description: 'Which attempt is under way, from 1' }),
    attempt_log: Type.Optional(
      AttemptLog(
        'Its attempts that failed, the latest 10, in a loop the latest 3; left out where none has, and in the stream',
      ),
    ),
  },
  { $id: 'ExecutionStepStarted' },
)
export type ExecutionStepStarted = Static<typeof ExecutionStepStarted>

const WaitingFor = Type.Object({
  step_id: Type.String(),
  iteration: Type.String(),
  reason: StringEnum(WAIT_REASONS),
  until: Nullable(Type.Unsafe<string>({ type: 'string', format: 'date-time' })),
  events: Type.Array(Type.String(), { description: 'Event types of which one ends the wait' }),
  attempt_log: AttemptLog('Before a retry: its attempts so far, the latest 10, in a loop the latest 3'),
})

const PassedOver = Type.Object({
  event: Type.String({ description: 'Its type' }),
  event_id: Uuid,
  iteration: Type.String(),
  reason: StringEnum(['filter_budget', 'filter_mismatch', 'near_miss'], {
    description:
      "`filter_budget`: the wait's filter costs too much on this event; `filter_mismatch`: an operator of it met a value " +
      'that it does not fit, or a value of it does not come out; `near_miss`: the values that are waited for differ from its own ' +
      'in case, white space or zeros of a number alone',
  }),
  message: Nullable(Type.String()),
})

export const ExecutionDetail = Type.Object(
  {
    ...fields,
    trigger: Type.Unknown({ description: 'What started it, as `trigger` in templates; secrets redacted' }),
    request: Nullable(
      Type.Object(
        {
          headers: Type.Record(Type.String(), Type.String()),
          query: Type.Record(Type.String(), Type.Unknown()),
        },
        { description: 'Of a webhook: what came with the body, as `trigger.headers` and `trigger.query`' },
      ),
    ),
    body_gone: Nullable(
      StringEnum(['expired', 'erased'], {
        description: 'Why trigger, inputs and outputs are empty: aged out, or a customer was forgotten',
      }),
    ),
    expires_at: Timestamp,
    at: Type.Array(ref(ExecutionStepStarted), {
      description:
        'Of one that is running: the steps that it is at, as of its last boundary; in a loop, of each item',
    }),
    waiting_for: Type.Array(WaitingFor, {
      description: 'What it waits for; in a loop, each item, also while others of them run',
    }),
    cancelled_by: Type.Array(Type.String(), { description: 'Event types that would cancel it' }),
    passed_over: Type.Array(PassedOver, {
      description:
        'An event that each of its waits could not be tested with; of several for the same reason the first',
    }),
    retries: Type.Array(Uuid, { description: 'Executions that do it again, the latest 20' }),
    steps: Type.Array(ref(ExecutionStep)),
    next_cursor: Nullable(
      Type.String({ description: 'For the next page of steps; null: there are no more' }),
    ),
  },
  { $id: 'ExecutionDetail' },
)
export type ExecutionDetail = Static<typeof ExecutionDetail>

export const ExecutionDetailQuery = Type.Object(
  {
    limit: Defaulted(
      Type.Integer({
        minimum: 1,
        maximum: STEPS_PAGE_MAX,
        default: STEPS_PAGE_MAX,
        description: 'Steps a page. There are fewer where inputs and outputs are large',
      }),
    ),
    cursor: PageQuery.cursor,
  },
  { additionalProperties: false },
)
export type ExecutionDetailQuery = Static<typeof ExecutionDetailQuery>

export const RetryInput = Type.Object(
  {
    from: Type.Optional(
      Type.String({
        pattern: STEP_ID,
        maxLength: 64,
        description:
          '`failed`, the default: where it ended, also by a cancellation or its lifetime. `start`: everything again. ' +
          'Else the id of a step: those that lead to it are carried over and do not run again',
      }),
    ),
    version: Type.Optional(
      StringEnum(['same', 'latest'], {
        description: 'The version that it ran, by default, or what is published now',
      }),
    ),
    trigger: Type.Optional(
      Type.Unknown({
        description: 'What `trigger` is in templates. Left out: as it was. `event` stays as it came',
      }),
    ),
  },
  {
    $id: 'RetryInput',
    additionalProperties: false,
    examples: [{ from: 'failed' }, { from: 'action_2', version: 'latest' }],
  },
)
export type RetryInput = Static<typeof RetryInput>
