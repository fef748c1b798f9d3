import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, ref, StringEnum } from '#lib/api/schema.ts'
import { FlowTest, TEST_START } from '#modules/flow/index.ts'
import { AnObject, Automation, TEXTS } from './schemas.ts'

export const ToggleRequest = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: 'Left out: the other of what it is' })),
    cancel_running: Defaulted(
      Type.Boolean({
        default: false,
        description: 'Switching it off: end what waits, instead of letting it finish',
      }),
    ),
  },
  { $id: 'AutomationToggle', additionalProperties: false, default: {}, examples: [{ enabled: false }] },
)
export type ToggleRequest = Static<typeof ToggleRequest>

const RecordId = (what: string) =>
  Type.Optional(
    Type.Unsafe<string | number>({
      type: ['string', 'integer'],
      minLength: 1,
      maxLength: 200,
      pattern: '^[^\\u0000-\\u001f\\u007f]+$',
      description: `${what} Text or a number; one beyond 2^53 as text`,
    }),
  )

/** One of them says for what. */
const IDS = {
  lead_id: RecordId('The lead; of messages, the one who wrote.'),
  booking_id: RecordId('The booking.'),
  customer_id: RecordId('The customer whose the booking is, or who wrote the message.'),
}

export const TestRequest = Type.Object(
  {
    ...IDS,
    event_id: TEST_START.event_id,
    data: Type.Optional(
      AnObject(
        'Members that take the place of those of a made-up lead, message or booking. Together with an id: the record ' +
          'itself, for which the platform is not asked',
      ),
    ),
    now: TEST_START.now,
    start_anyway: Defaulted(
      Type.Boolean({
        default: true,
        description: 'Take the steps also if the conditions or an earlier start are against it',
      }),
    ),
    mocks: TEST_START.mocks,
  },
  {
    $id: 'AutomationTest',
    additionalProperties: false,
    default: {},
    examples: [{ lead_id: 123 }, { data: { name: 'Ana', email: 'ana@example.com' } }],
  },
)
export type TestRequest = Static<typeof TestRequest>

export const AutomationTestResult = Type.Object(
  {
    ...FlowTest.properties,
    message: Nullable(
      Type.Object(
        {
          channel: Type.String(),
          to: Nullable(Type.String({ description: 'Null: the team' })),
          subject: Nullable(Type.String()),
          body: Type.String(),
          asks_ai: Type.Boolean({ description: 'In truth an AI would be asked for the text' }),
        },
        { description: 'What would be written; null: nothing, see notes' },
      ),
    ),
    record: Type.Object({
      source: StringEnum(['given', 'platform', 'event', 'sample'], {
        description: 'Where the data is from that it was tested with',
      }),
      data: Type.Unknown({ description: 'Secrets redacted' }),
    }),
    notes: Type.Array(Type.String(), { description: 'What to know about this test' }),
  },
  { $id: 'AutomationTestResult' },
)
export type AutomationTestResult = Static<typeof AutomationTestResult>

export const TriggerRequest = Type.Object(
  {
    ...IDS,
    data: Type.Optional(
      AnObject(
        'The lead, message or booking, in the form that its events have. Left out: the platform is asked for it',
      ),
    ),
  },
  {
    $id: 'AutomationStart',
    additionalProperties: false,
    minProperties: 1,
    examples: [
      { lead_id: 123 },
      { data: { lead_id: 'lead_1', name: 'Ana', email: 'ana@example.com', status: 'new' } },
    ],
  },
)
export type TriggerRequest = Static<typeof TriggerRequest>

export const AutomationRun = Type.Object(
  {
    events: Type.Integer({ description: 'Events that were looked at' }),
    executions: Type.Integer({ description: 'Executions that were taken up' }),
    complete: Type.Boolean({
      description:
        'False: time ran out, or others are at it; the rest goes on by itself, or with the next call',
    }),
  },
  { $id: 'AutomationRun' },
)

export const DefaultsRequest = Type.Object(
  {
    enabled: Defaulted(Type.Boolean({ default: true, description: 'Whether events start them' })),
    shop_name: Type.Optional(TEXTS.shop_name),
    time_zone: Type.Optional(TEXTS.time_zone),
  },
  {
    $id: 'AutomationDefaultsRequest',
    additionalProperties: false,
    default: {},
    examples: [{ shop_name: 'Linen & Co', time_zone: 'Europe/Lisbon' }],
  },
)
export type DefaultsRequest = Static<typeof DefaultsRequest>
export const AutomationDefaults = Type.Object(
  {
    installed: Type.Array(ref(Automation)),
    existing: Type.Array(ref(Automation), { description: 'Were there already, and are as they were' }),
  },
  { $id: 'AutomationDefaults' },
)

export const ContinuedAutomation = Type.Object(
  {
    flow_id: Type.String({ format: 'uuid', description: 'The id that the automation had' }),
    status: StringEnum(['draft', 'active', 'inactive', 'paused'], { description: 'Of the flow, as it was' }),
    running: Type.Integer({
      description: 'What is under way, or waits: it goes on in the flow, and ends as it would have',
    }),
    automation: {
      ...ref(Automation),
      description: 'Its fields, under an id of their own and switched off',
    },
  },
  { $id: 'ContinuedAutomation' },
)
export type ContinuedAutomation = Omit<Static<typeof ContinuedAutomation>, 'automation'> & {
  automation: Automation
}

export const OPERATION_SCHEMAS = [
  ContinuedAutomation,
  ToggleRequest,
  TestRequest,
  AutomationTestResult,
  TriggerRequest,
  AutomationRun,
  DefaultsRequest,
  AutomationDefaults,
]
