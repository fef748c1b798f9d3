import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, Page, PageQuery, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { AUTOMATION_TRIGGERS, AUTOMATION_TYPES, CHANNELS, MAX_DELAY_HOURS } from './fields.ts'

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
const Uuid = Type.String({ format: 'uuid', maxLength: 36 })
export const AutomationParams = Type.Object({ id: Uuid })

const LINE_MAX_CHARS = 200
const TEXT_MAX_CHARS = 10_000
const MAX_CONDITIONS = 100

const written = (maxLength: number, description: string) =>
  Nullable(Type.String({ minLength: 1, maxLength, pattern: '\\S', description }))

export const AnObject = (description: string) =>
  Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true, description })

const ActionInput = AnObject('What the action is given; templates may stand in it')
const CrmAction = <T extends TSchema>(input: T) =>
  Type.Object(
    {
      action_type: Type.String({ minLength: 1, maxLength: 128, examples: ['create_task'] }),
      plugin_id: Type.Optional(
        Type.String({
          minLength: 1,
          maxLength: 64,
          description: '`platform`, or the UUID or slug of a plugin',
        }),
      ),
      input,
    },
    {
      additionalProperties: false,
      description:
        'What the type `crm_update` does. Null: a task, and for `status_changed` what the ready-made flow `crm_update` does',
    },
  )

const Conditions = Nullable(
  Type.Unsafe<object>({
    anyOf: [
      { type: 'object', additionalProperties: true },
      { type: 'array', maxItems: MAX_CONDITIONS, items: { type: 'object', additionalProperties: true } },
    ],
    description:
      'What has to hold for an event to start it: a condition { field, operator, value }, a group { all | any | none }, ' +
      'or a list that all have to hold. A field is one of the data of the lead, message or booking. Starts by hand are ' +
      'not asked',
  }),
)

const Name = Type.String({ minLength: 1, maxLength: LINE_MAX_CHARS, pattern: '\\S' })
const Kind = StringEnum(AUTOMATION_TYPES)
const Trigger = StringEnum(AUTOMATION_TRIGGERS, {
  description:
    '`new_lead`, `status_changed` and `no_contact` are of a lead, `message_received` of a message to the shop. ' +
    '`after_booking`: after it was made for `booking_confirmation`, else after it took place',
})
const DelayHours = Type.Number({
  minimum: 0,
  maximum: MAX_DELAY_HOURS,
  description:
    'How long after what started it, before the appointment (`before_booking`), or without contact (`no_contact`); ' +
    '0.25 is a quarter of an hour',
})
const ChannelField = StringEnum(CHANNELS, {
  description: 'Emails and text messages go to the person, a notification goes to the team',
})
const Enabled = Type.Boolean({ description: 'Whether events start it' })

export const TEXTS = {
  subject: written(
    LINE_MAX_CHARS,
    'Of an email, or the title of a notification; a template. Null: ready-made',
  ),
  template: written(
    TEXT_MAX_CHARS,
    'The text of the message, in which templates such as {{trigger.name}} may stand. Null: ready-made',
  ),
  ai_prompt: written(
    TEXT_MAX_CHARS,
    'What an AI is to write instead of the text, which is sent when it cannot be asked',
  ),
  conditions: Conditions,
  action: Nullable(CrmAction(ActionInput)),
  shop_name: written(LINE_MAX_CHARS, 'How ready-made texts are signed: {{variables.shop_name}}'),
  time_zone: written(64, "IANA zone for appointments that do not name theirs. Null: the shop's"),
}

const CHOSEN = {
  delay_hours: Type.Optional({
    ...DelayHours,
    description: `${DelayHours.description ?? ''}. Left out: 72 for \`no_contact\`, 24 for \`before_booking\` and \`post_session\`, else 0`,
  }),
  channel: Type.Optional({
    ...ChannelField,
    description: `${String(ChannelField['description'])}. Left out: email, for \`crm_update\` notification`,
  }),
  subject: Type.Optional(TEXTS.subject),
  template: Type.Optional(TEXTS.template),
  ai_prompt: Type.Optional(TEXTS.ai_prompt),
  conditions: Type.Optional(TEXTS.conditions),
  action: Type.Optional(Nullable(CrmAction(Defaulted({ ...ActionInput, default: {} })))),
  shop_name: Type.Optional(TEXTS.shop_name),
  time_zone: Type.Optional(TEXTS.time_zone),
}

const EXAMPLE = {
  name: 'Follow up on website leads',
  type: 'lead_followup',
  trigger: 'no_contact',
  delay_hours: 48,
  channel: 'email',
  subject: 'Any questions, {{trigger.name | default: "dear visitor"}}?',
  template: 'Hello {{trigger.name | default: "there"}}, is there anything that we can help you with?',
  conditions: { field: 'source', operator: 'equals', value: 'website' },
}

export const AutomationInput = Type.Object(
  { name: Name, type: Kind, trigger: Trigger, ...CHOSEN, enabled: Type.Optional(Enabled) },
  { $id: 'AutomationInput', additionalProperties: false, examples: [EXAMPLE] },
)
export type AutomationInput = Static<typeof AutomationInput>

export const AutomationPatch = Type.Object(
  {
    name: Type.Optional(Name),
    type: Type.Optional(Kind),
    trigger: Type.Optional(Trigger),
    ...CHOSEN,
    delay_hours: Type.Optional(DelayHours),
    channel: Type.Optional(ChannelField),
    enabled: Type.Optional(Enabled),
  },
  {
    $id: 'AutomationPatch',
    additionalProperties: false,
    minProperties: 1,
    examples: [{ delay_hours: 24, template: null }],
  },
)
export type AutomationPatch = Static<typeof AutomationPatch>

export const Automation = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: 'Also of its flow, GET /api/automation/flows/{id}' }),
    name: Type.String(),
    type: Kind,
    trigger: Trigger,
    delay_hours: Type.Number(),
    channel: ChannelField,
    ...TEXTS,
    conditions: Type.Unknown(),
    enabled: Enabled,
    status: StringEnum(['draft', 'active', 'inactive', 'paused'], { description: 'Of its flow' }),
    status_reason: Nullable(
      Type.String({ description: 'Why the service itself has paused it: `failing`, `self_triggering`' }),
    ),
    customised: Type.Boolean({
      description:
        'Its flow was edited by hand: the fields no longer say what it does, and can be changed after a reset only',
    }),
    preset: Nullable(
      Type.String({ description: 'Which of those that POST /api/automations/defaults installs' }),
    ),
    times_triggered: Type.Integer({ description: 'How often it started, by events and by hand' }),
    last_triggered: Nullable(Timestamp),
    warnings: Type.Optional(
      Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), {
        description: 'Answers of changes only: what will probably not do what was meant',
      }),
    ),
    created_at: Timestamp,
    updated_at: Timestamp,
  },
  { $id: 'Automation' },
)
export type Automation = Static<typeof Automation>

export const AutomationQuery = Type.Object(
  {
    ...PageQuery,
    type: Type.Optional(Kind),
    trigger: Type.Optional(StringEnum(AUTOMATION_TRIGGERS)),
    enabled: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)
export type AutomationQuery = Static<typeof AutomationQuery>
export const AutomationPage = Page(ref(Automation), 'AutomationPage')

export const NAMED = [AutomationInput, AutomationPatch, Automation, AutomationPage]
