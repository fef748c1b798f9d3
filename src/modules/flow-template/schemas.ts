import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, Nullable, ref, StringEnum, Timestamp } from '#lib/api/schema.ts'
import { LINE_MAX_CHARS, TEXT_MAX_CHARS } from './parameter.ts'
import { OWN_CATEGORIES } from './template.ts'

/** ajv's format also takes `urn:uuid:…`, which Postgres does not: hence the length. */
const Uuid = Type.String({ format: 'uuid', maxLength: 36 })

export const TemplateParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })

export const TemplateQuery = Type.Object(
  {
    category: Type.Optional(StringEnum(OWN_CATEGORIES)),
    own: Type.Optional(
      Type.Boolean({ description: "Only those of the shop's own, or only the ready-made ones" }),
    ),
  },
  { additionalProperties: false },
)
export type TemplateQuery = Static<typeof TemplateQuery>

const HEAD = {
  id: Type.String({ description: "A UUID if it is the shop's own" }),
  title: Type.String(),
  description: Type.String(),
  category: StringEnum(OWN_CATEGORIES),
  own: Type.Boolean({ description: 'The shop has made it of a flow, and may change and delete it' }),
  created_at: Nullable(Timestamp),
  updated_at: Nullable(Type.Unsafe<Date | string>({ ...Timestamp, description: 'Null of a ready-made one' })),
  triggers: Type.Array(Type.String(), { description: 'Event types that start it' }),
  actions: Type.Array(Type.String(), { description: 'Actions that it needs, unless parameters change that' }),
}
const PARAMETER_TYPES = ['integer', 'text', 'template', 'choice'] as const
const Places = Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
  minItems: 1,
  maxItems: 20,
  uniqueItems: true,
  description: 'Where in the definition the value goes, as JSON pointers: `/steps/0/input/title`',
})
const Value = Type.Unsafe<string | number>({ type: ['string', 'integer'] })

const FlowTemplateParameter = Type.Object(
  {
    name: Type.String(),
    title: Type.String(),
    description: Type.String(),
    type: StringEnum(PARAMETER_TYPES, {
      description:
        'In a `template` the templates of flows may stand, such as {{trigger.name}}; a `text` is taken as it is',
    }),
    default: Type.Unsafe<string | number>({
      ...Value,
      description: 'Taken when it is left out. Text whose default is empty may be empty',
    }),
    minimum: Type.Optional(Type.Integer()),
    maximum: Type.Optional(Type.Integer()),
    max_length: Type.Optional(Type.Integer()),
    choices: Type.Optional(Type.Unsafe<readonly string[]>({ type: 'array', items: { type: 'string' } })),
    places: Type.Optional(Places),
  },
  { $id: 'FlowTemplateParameter' },
)

const FlowTemplateSummary = Type.Object(HEAD, { $id: 'FlowTemplateSummary' })
export type FlowTemplateSummary = Static<typeof FlowTemplateSummary>
export const FlowTemplateList = Type.Object(
  { data: Type.Array(ref(FlowTemplateSummary)) },
  { $id: 'FlowTemplateList' },
)

export const FlowTemplateView = Type.Object(
  {
    ...HEAD,
    parameters: Type.Array(ref(FlowTemplateParameter)),
    definition: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'What is installed when all parameters are left out',
    }),
  },
  { $id: 'FlowTemplate' },
)
export type FlowTemplateView = Static<typeof FlowTemplateView>

const Title = Type.String({ minLength: 1, maxLength: LINE_MAX_CHARS, pattern: '\\S' })
const Description = Type.String({ maxLength: 2_000 })
const Category = StringEnum(OWN_CATEGORIES)

const ParameterMark = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z][a-z0-9_]{0,63}$',
      description: 'By which an installation gives it',
    }),
    title: Type.Optional(Title),
    description: Defaulted(Type.String({ maxLength: 500, default: '' })),
    type: StringEnum(PARAMETER_TYPES, {
      description:
        'A `text` is taken as it is: below `/variables` it may be any, elsewhere it may have no `{{`. In a `template` the ' +
        'templates of flows may stand',
    }),
    places: Places,
    minimum: Type.Optional(Type.Integer({ description: 'Of an integer; 0 if left out' })),
    maximum: Type.Optional(Type.Integer()),
    max_length: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: TEXT_MAX_CHARS,
        description: `Of a text, ${LINE_MAX_CHARS} if left out, or a template, ${TEXT_MAX_CHARS}`,
      }),
    ),
    choices: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: LINE_MAX_CHARS }), {
        minItems: 1,
        maxItems: 50,
        uniqueItems: true,
      }),
    ),
  },
  { additionalProperties: false, description: 'A value of the flow that is asked for when it is installed' },
)
export type ParameterMark = Omit<Static<typeof ParameterMark>, 'choices'> & { choices?: readonly string[] }

const Marks = (description: string) => Type.Array(ParameterMark, { maxItems: 50, description })
const FLOW =
  'The flow whose draft it is made of: plugins by their slugs, connections by their names, and no secrets'

export const CreateTemplateRequest = Type.Object(
  {
    flow_id: Type.Unsafe<string>({ ...Uuid, description: FLOW }),
    title: Title,
    description: Defaulted(Type.Unsafe<string>({ ...Description, default: '' })),
    category: Category,
    parameters: Defaulted(
      Type.Unsafe<Static<typeof ParameterMark>[]>({
        ...Marks(
          'What is asked for at install: the values of the flow are the defaults. Of a secret none is kept',
        ),
        default: [],
      }),
    ),
  },
  {
    $id: 'CreateTemplateRequest',
    additionalProperties: false,
    examples: [
      {
        flow_id: '01997d5e-3c00-7000-8000-000000000000',
        title: 'Look after new customers',
        description: 'A task for whoever is new.',
        category: 'customers',
        parameters: [
          {
            name: 'title',
            title: 'Title of the task',
            type: 'template',
            places: ['/steps/0/input/title'],
          },
        ],
      },
    ],
  },
)
export type CreateTemplateRequest = Static<typeof CreateTemplateRequest>

export const ChangeTemplateRequest = Type.Object(
  {
    flow_id: Type.Optional(Type.Unsafe<string>({ ...Uuid, description: `${FLOW}; left out: it stays` })),
    title: Type.Optional(Title),
    description: Type.Optional(Description),
    category: Type.Optional(Category),
    parameters: Type.Optional(Marks('In place of those that it has')),
  },
  {
    $id: 'ChangeTemplateRequest',
    additionalProperties: false,
    minProperties: 1,
    examples: [{ title: 'Look after whoever is new' }],
  },
)
export type ChangeTemplateRequest = Static<typeof ChangeTemplateRequest>

export const InstallTemplateRequest = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        pattern: '\\S',
        description: "The template's title if left out",
      }),
    ),
    status: Defaulted(
      StringEnum(['draft', 'active', 'inactive'], {
        default: 'draft',
        description: 'As a draft it can be looked at before it says anything to anybody',
      }),
    ),
    another: Defaulted(
      Type.Boolean({
        default: false,
        description:
          'Install one more, although the shop has a flow of this template with the same parameters: both will run',
      }),
    ),
    parameters: Defaulted(
      Type.Record(Type.String({ maxLength: 64 }), Value, {
        default: {},
        maxProperties: 50,
        description: "The template's own, by name; the others have their defaults",
      }),
    ),
  },
  {
    $id: 'InstallTemplateRequest',
    additionalProperties: false,
    default: {},
    examples: [
      {
        name: 'Unpaid orders',
        status: 'active',
        parameters: {
          hours: 6,
          subject: 'Your order {{trigger.number}} is waiting',
          shop_name: 'Linen & Co',
        },
      },
    ],
  },
)
export type InstallTemplateRequest = Static<typeof InstallTemplateRequest>

export const NAMED = [
  FlowTemplateParameter,
  FlowTemplateSummary,
  FlowTemplateList,
  FlowTemplateView,
  CreateTemplateRequest,
  ChangeTemplateRequest,
  InstallTemplateRequest,
]
