import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { WOULD_KINDS } from '#modules/flow-engine/index.ts'
import { FlowProblem, LINEAR_EXAMPLE, Uuid } from '../schemas.ts'

const MAX_MOCKS = 1_000
/** Items that a list of mocks stands for. */
const MAX_LISTED = 1_000

const Mock = Type.Object(
  {
    output: Type.Optional(
      Type.Unknown({ description: 'What a call gives: of an `http` step `{ "status", "body" }`' }),
    ),
    error: Type.Optional(
      Type.Object(
        {
          code: Type.String({ minLength: 1, maxLength: 100 }),
          message: Type.String({ maxLength: 2_000 }),
          times: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 1_000,
              description: 'Attempts that fail, before what is given beside it; left out: all of them',
            }),
          ),
          transient: Type.Optional(
            Type.Boolean({
              description:
                'It may pass by itself, and is retried; left out: as its code says, such as `timeout` or `http_5xx`',
            }),
          ),
        },
        { additionalProperties: false, description: 'The call fails with it, and is retried as in truth' },
      ),
    ),
    event: Type.Optional(
      Type.Object(
        {
          type: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
          source: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
          data: Type.Unknown(),
        },
        {
          additionalProperties: false,
          description:
            'Comes for a `wait_event` step; one that does not meet it lets it time out. `type` is that of its first ' +
            'alternative unless it is given',
        },
      ),
    ),
  },
  { additionalProperties: false },
)

/** Not as alternatives: what is wrong with one is told without what is wrong with the other. */
const MockOrList = Type.Unsafe<Static<typeof Mock> | (Static<typeof Mock> | null)[]>({
  ...Mock,
  type: ['object', 'array'],
  items: Nullable(Mock),
  maxItems: MAX_LISTED,
  description: 'A list: of the first item of the loop, of the second … Null: for this one none',
})

/** The members of a request that say how a test starts. */
export const TEST_START = {
  event_id: Type.Optional({
    ...Uuid,
    description: 'A past event that starts it, instead of sample data',
  }),
  trigger: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'The only trigger that counts, by its id. Left out: the first one, or of a past event any',
    }),
  ),
  event: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      description: 'Type of the sample event. Left out: the trigger’s',
    }),
  ),
  source: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'Of the sample event: `platform` or a plugin’s UUID. Left out: the trigger’s',
    }),
  ),
  data: Type.Optional(
    Type.Unknown({
      description:
        'Sample data: of the event, the input, the webhook’s body. Left out: made up from the declared schema',
    }),
  ),
  request: Type.Optional(
    Type.Object(
      {
        headers: Defaulted(
          Type.Record(Type.String({ maxLength: 100 }), Type.String(), { default: {}, maxProperties: 100 }),
        ),
        query: Defaulted(
          Type.Record(
            Type.String({ maxLength: 255 }),
            Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 100 })]),
            { default: {}, maxProperties: 100 },
          ),
        ),
        body: Type.Optional(
          Type.String({
            description:
              'As it comes, in place of `data`: read by the header `content-type`, as an inlet does',
          }),
        ),
      },
      {
        additionalProperties: false,
        description:
          'A request to the inlet of the webhook trigger: the flow sees of it what it would see in truth. Its ' +
          'signature is not looked at. Left out: no header and no query',
      },
    ),
  ),
  start_anyway: Defaulted(
    Type.Boolean({
      default: false,
      description:
        'Take the steps also if the flow would not start: its trigger or its enrolment is against it',
    }),
  ),
  until: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description:
        'The last step, by its id: the test ends once it has run, in a loop for the first time. In graph format ' +
        'errors of steps that cannot come before it do not keep the flow from being tested',
    }),
  ),
  now: Type.Optional({ ...Timestamp, description: 'When it starts. Left out: now' }),
  mocks: Defaulted(
    Type.Record(Type.String({ maxLength: 100 }), MockOrList, {
      default: {},
      maxProperties: MAX_MOCKS,
      description:
        'What steps come to, by step id: of a step in a loop’s body one for all items, or a list with one for each. ' +
        '`<step id>:<index>` stands for one item, and goes before a list. A call without a mock gives an output made ' +
        'up from the action’s `output_schema`, a wait without one times out',
    }),
  ),
}

const EXAMPLE = {
  data: { id: 'ord_1', total: 120, email: 'ann@example.com' },
  now: '2030-01-01T12:00:00Z',
  mocks: {
    charge: { error: { code: 'card_declined', message: 'The card was declined.' } },
    paid: { event: { data: { id: 'ord_1' } } },
  },
}

const Definition = Type.Unsafe<Record<string, unknown>>({
  type: 'object',
  additionalProperties: true,
  description: 'A definition in either format',
})

export const FlowTestRequest = Type.Object(
  {
    definition: Type.Optional({ ...Definition, description: 'Tested in place of the stored draft' }),
    version: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: 'Tested in place of the draft' }),
    ),
    ...TEST_START,
  },
  { $id: 'FlowTestRequest', additionalProperties: false, default: {}, examples: [EXAMPLE] },
)
export type FlowTestRequest = Static<typeof FlowTestRequest>

export const DefinitionTestRequest = Type.Object(
  { definition: Definition, ...TEST_START },
  {
    $id: 'DefinitionTestRequest',
    additionalProperties: false,
    examples: [{ definition: LINEAR_EXAMPLE, data: { email: 'ann@example.com', name: 'Ann' } }],
  },
)

const AwaitedEvent = Type.Object({
  event: Type.String(),
  match: Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: true,
    description: 'What has to stand at which path of its data',
  }),
  filtered: Type.Boolean({ description: 'A filter is tested besides' }),
})

const Would = Type.Object(
  {
    kind: StringEnum(WOULD_KINDS),
    action_type: Type.Optional(Type.String()),
    plugin_id: Type.Optional(Type.String({ description: 'A plugin’s UUID or `platform`' })),
    channel: Type.Optional(Type.String()),
    to: Type.Optional(Nullable(Type.String())),
    asks_ai: Type.Optional(
      Type.Boolean({ description: 'An AI would be asked for the text; here it is the template’s' }),
    ),
    method: Type.Optional(Type.String()),
    url: Type.Optional(Type.String()),
    until: Type.Optional(Timestamp),
    events: Type.Optional(Type.Array(AwaitedEvent, { description: 'Of which one would end the wait' })),
  },
  { description: 'What it would do to the outside, or wait for' },
)

const StepError = Type.Object({ code: Type.String(), message: Type.String() })

const TestStep = Type.Object({
  number: Type.Integer({ description: 'In the order in which they ended, from 0' }),
  step_id: Type.String(),
  iteration: Type.String({ description: "In a loop's body the item's index, else empty" }),
  type: Type.String({ examples: ['action'] }),
  name: Nullable(Type.String()),
  status: StringEnum(['simulated', 'failed', 'skipped']),
  port: Nullable(Type.String({ description: 'The way out that was taken' })),
  input: Type.Unknown({ description: 'What would be sent; secrets redacted' }),
  output: Type.Unknown({ description: 'What the steps after it see; secrets redacted' }),
  error: Nullable(StepError),
  attempts: Type.Integer({ description: 'Of a call: more than one if it was retried' }),
  note: Nullable(Type.String()),
  would: Nullable(Would),
  started_at: Timestamp,
  finished_at: Timestamp,
})

const Start = Type.Object({
  would_start: Type.Boolean(),
  reason: Nullable(
    Type.String({
      description:
        'Why not: `event_type`, `source`, `filter`, `input`, `no_trigger`, `causation_depth`, `already_active`, ' +
        '`reentered_too_soon`, or the error of a template',
    }),
  ),
  message: Nullable(Type.String()),
  trigger: Nullable(Type.String({ description: 'Id of the trigger that was met' })),
  key: Nullable(Type.String({ description: 'Enrolment key' })),
  would_restart: Type.Array(Uuid, { description: 'Executions that would be cancelled to make way for it' }),
  cancel_on: Type.Array(AwaitedEvent, { description: 'Events that would cancel it while it waits' }),
  already_started: Type.Boolean({
    description: 'The past event has started this flow before: in truth it does so once',
  }),
})

const End = Type.Object({
  status: StringEnum(['completed', 'failed', 'timed_out']),
  reason: Nullable(Type.String()),
  handled: Type.Boolean({ description: 'An error handler has dealt with the failure' }),
  error: Nullable(Type.Object({ step_id: Type.String(), code: Type.String(), message: Type.String() })),
  finished_at: Timestamp,
})

export const FlowTest = Type.Object(
  {
    flow_id: Nullable(Uuid),
    version: Nullable(Type.Integer({ description: 'Null: a definition that is not published' })),
    now: Timestamp,
    start: Start,
    end: Nullable(End),
    until_reached: Nullable(
      Type.Boolean({ description: 'Whether the test came to the step of `until`; null: there was none' }),
    ),
    steps: Type.Array(TestStep),
    variables: Type.Unknown({ description: 'As they were at the end; secrets redacted' }),
    limit: Nullable(
      StringEnum(['steps', 'time', 'size'], {
        description:
          'What ended the test before the flow ended: 5,000 steps, 5 s, or 4 MiB of inputs and outputs',
      }),
    ),
    unused_mocks: Type.Array(Type.String(), {
      description: 'Mocks that no step asked for, 1,000 at most; those of a list as `<step id>:<index>`',
    }),
    problems: Type.Array(ref(FlowProblem), { description: 'Warnings of the compiler' }),
  },
  { $id: 'FlowTest' },
)
export type FlowTest = Static<typeof FlowTest>

/** Past events that one request is tested on. */
const MAX_EVENTS = 100

export const EventsTestRequest = Type.Object(
  {
    event_ids: Type.Array(Uuid, {
      minItems: 1,
      maxItems: MAX_EVENTS,
      uniqueItems: true,
      description: 'Past events, each of which is tried at the time when it came',
    }),
    definition: FlowTestRequest.properties.definition,
    version: FlowTestRequest.properties.version,
    trigger: TEST_START.trigger,
    start_anyway: TEST_START.start_anyway,
    mocks: TEST_START.mocks,
  },
  {
    $id: 'EventsTestRequest',
    additionalProperties: false,
    examples: [{ event_ids: ['0190a1b2-0000-7000-8000-000000000001'] }],
  },
)
export type EventsTestRequest = Static<typeof EventsTestRequest>

export const EventsTest = Type.Object(
  {
    flow_id: Uuid,
    version: Nullable(Type.Integer({ description: 'Null: a definition that is not published' })),
    results: Type.Array(
      Type.Object({
        event_id: Uuid,
        start: Nullable(Start),
        end: Nullable(End),
        limit: FlowTest.properties.limit,
        done: Type.Array(
          Type.Object({
            step_id: Type.String(),
            kind: StringEnum(WOULD_KINDS),
            count: Type.Integer({ description: 'More than one in a loop' }),
          }),
          { description: 'What it would have done to the outside, or waited for, by step' },
        ),
      }),
      { description: 'In the order asked for; `start` is null for an event that is not there, or no longer' },
    ),
    complete: Type.Boolean({
      description: 'False: 5 seconds were over. Ask again with the events that have no result',
    }),
    problems: Type.Array(ref(FlowProblem), { description: 'Warnings of the compiler' }),
  },
  { $id: 'EventsTest' },
)
export type EventsTest = Static<typeof EventsTest>

export const TEST_SCHEMAS = [FlowTestRequest, DefinitionTestRequest, FlowTest, EventsTestRequest, EventsTest]
