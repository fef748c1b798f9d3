import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { describeOperators } from '#lib/condition/operators/index.ts'
import { matchPattern } from '#lib/condition/pattern.ts'
import { describeSteps } from '#lib/flow/index.ts'
import { Nullable, problems, ref, withHeaders } from '#lib/api/schema.ts'
import { describeFilters, describeTags, describeTestOperators } from '#lib/template/index.ts'

const ConditionOperator = Type.Object(
  {
    name: Type.String(),
    subjects: Type.Array(Type.String(), {
      description:
        'Types of field that it tests: text, number, boolean, time, list, object; `any` alone: all',
    }),
    operand: Nullable(Type.String({ description: 'The type of its `value`; null: it takes none' })),
    operands: Type.Integer({ description: 'How many values that is: 0, 1, or 2 for a range' }),
    when_missing: Type.Boolean({ description: 'What it is when the field is missing' }),
    description: Type.String(),
    example: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
    in_templates: Type.Boolean({ description: 'Whether tests of `{% if %}` know it, by its name' }),
    symbols: Type.Array(Type.String(), { description: 'What stands for it there as well' }),
  },
  { $id: 'ConditionOperator' },
)

const TemplateFilter = Type.Object(
  {
    name: Type.String(),
    input: Type.Array(Type.String(), { description: 'Types of value that it takes' }),
    args: Type.Array(Type.Object({ name: Type.String(), type: Type.String(), optional: Type.Boolean() }), {
      description: 'What follows the colon, in order',
    }),
    returns: Type.String(),
    description: Type.String(),
    example: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
  },
  { $id: 'TemplateFilter' },
)

const TemplateTag = Type.Object(
  { name: Type.String(), form: Type.String(), description: Type.String() },
  { $id: 'TemplateTag' },
)

const StepTypeInfo = Type.Object(
  {
    type: Type.String(),
    description: Type.String(),
    ports: Type.Array(Type.String(), {
      description: 'The members that say where a step leads; a switch adds one for each of its cases',
    }),
    calls: Type.Boolean({ description: 'It calls others: it may be retried, and has a timeout' }),
    has_body: Type.Boolean({ description: 'Steps stand inside of it' }),
    schema: Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      additionalProperties: true,
      description: 'JSON Schema of such a step as it stands in a definition',
    }),
    examples: Type.Array(
      Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true }),
      {
        description: 'Steps without an `id`',
      },
    ),
  },
  { $id: 'StepTypeInfo' },
)

const FlowVocabulary = Type.Object(
  {
    operators: Type.Array(ref(ConditionOperator)),
    filters: Type.Array(ref(TemplateFilter)),
    tags: Type.Array(ref(TemplateTag), { description: 'What stands between {% and %}' }),
    steps: Type.Array(ref(StepTypeInfo)),
  },
  { $id: 'FlowVocabulary', description: 'What conditions, templates and flows are made of' },
)

export const OPERATOR_SCHEMAS = [ConditionOperator, TemplateFilter, TemplateTag, StepTypeInfo, FlowVocabulary]

const inTests = describeTestOperators()

/** The tables never change while the service runs. */
const vocabulary: Static<typeof FlowVocabulary> = {
  operators: describeOperators({ matchPattern }).map((operator) => ({
    ...operator,
    subjects: operator.subjects === 'any' ? ['any'] : [...operator.subjects],
    in_templates: inTests.has(operator.name),
    symbols: inTests.get(operator.name) ?? [],
  })),
  filters: describeFilters().map(({ input, args, ...filter }) => ({
    ...filter,
    input: [...input],
    args: args.map(({ name, type, optional = false }) => ({ name, type, optional })),
  })),
  tags: describeTags(),
  steps: describeSteps().map((step) => ({ ...step, schema: { ...step.schema } })),
}

export function operatorRoutes(app: FastifyInstance): void {
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    '/api/automation/operators',
    {
      schema: {
        operationId: 'listOperators',
        tags: ['flows'],
        summary: 'See the types of steps, the operators of conditions, and the filters and tags of templates',
        description: 'The very tables that the compiler and the engine read, for builders.',
        response: { 200: withHeaders(ref(FlowVocabulary), 'cache-control'), ...problems(...READ_PROBLEMS) },
      },
    },
    async (_request, reply) => reply.header('cache-control', 'private, max-age=3600').send(vocabulary),
  )
}
