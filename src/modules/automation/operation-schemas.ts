import { type Static, Type } from '@sinclair/typebox'
import { ref } from '../../lib/schema.ts'
import { TEST_START } from '../flow/index.ts'
import { AnObject, Automation, TEXTS } from './schemas.ts'

export const ToggleRequest = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: 'Left out: the other of what it is' })),
    cancel_running: Type.Boolean({
      default: false,
      description: 'Switching it off: end what waits, instead of letting it finish',
    }),
  },
  { $id: 'AutomationToggle', additionalProperties: false, default: {} },
)
export type ToggleRequest = Static<typeof ToggleRequest>

export const TestRequest = Type.Object(
  {
    event_id: TEST_START.event_id,
    data: Type.Optional(
      AnObject('Members that take the place of those of a made-up lead, message or booking'),
    ),
    now: TEST_START.now,
    start_anyway: Type.Boolean({
      default: true,
      description: 'Take the steps also if the conditions or an earlier start are against it',
    }),
    mocks: TEST_START.mocks,
  },
  {
    $id: 'AutomationTest',
    additionalProperties: false,
    default: {},
    examples: [{ data: { name: 'Ana', email: 'ana@example.com' } }],
  },
)
export type TestRequest = Static<typeof TestRequest>

export const TriggerRequest = Type.Object(
  {
    input: Type.Unsafe<Record<string, unknown> & { id: string }>({
      type: 'object',
      additionalProperties: true,
      required: ['id'],
      properties: { id: { type: 'string', minLength: 1, maxLength: 200 } },
      description: 'The lead, message or booking, in the form that its events have',
    }),
  },
  {
    $id: 'AutomationStart',
    additionalProperties: false,
    examples: [{ input: { id: 'lead_1', name: 'Ana', email: 'ana@example.com', status: 'new' } }],
  },
)

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
    enabled: Type.Boolean({ default: true }),
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

export const OPERATION_SCHEMAS = [
  ToggleRequest,
  TestRequest,
  TriggerRequest,
  AutomationRun,
  DefaultsRequest,
  AutomationDefaults,
]
