import { type Static, Type } from '@sinclair/typebox'
import { Defaulted, ref, StringEnum } from '#lib/api/schema.ts'
import { CATEGORIES } from './template.ts'

export const TemplateParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })

export const TemplateQuery = Type.Object(
  { category: Type.Optional(StringEnum(CATEGORIES)) },
  { additionalProperties: false },
)
export type TemplateQuery = Static<typeof TemplateQuery>

const HEAD = {
  id: Type.String(),
  title: Type.String(),
  description: Type.String(),
  category: StringEnum(CATEGORIES),
  triggers: Type.Array(Type.String(), { description: 'Event types that start it' }),
  actions: Type.Array(Type.String(), { description: 'Actions that it needs, unless parameters change that' }),
}
const Value = Type.Unsafe<string | number>({ type: ['string', 'integer'] })

const FlowTemplateParameter = Type.Object(
  {
    name: Type.String(),
    title: Type.String(),
    description: Type.String(),
    type: StringEnum(['integer', 'text', 'template', 'choice'], {
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
  },
  { $id: 'FlowTemplateParameter' },
)

const FlowTemplateSummary = Type.Object(HEAD, { $id: 'FlowTemplateSummary' })
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
  InstallTemplateRequest,
]
