import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { flowBody, flowInvalid, flowNotFound, FlowSchema, tooManyFlows } from '#modules/flow/index.ts'
import type { FlowTemplateContext } from './context.ts'
import { flowTemplateNotFound, flowTemplateReadyMade, flowTemplateSecrets } from './errors.ts'
import { changeTemplate, createTemplate, deleteTemplate } from './own-service.ts'
import {
  ChangeTemplateRequest,
  CreateTemplateRequest,
  FlowTemplateList,
  FlowTemplateView,
  InstallTemplateRequest,
  TemplateParams,
  TemplateQuery,
} from './schemas.ts'
import { installTemplate, listTemplates, readTemplate, viewOwn } from './service.ts'

const tags = ['flows']

export function flowTemplateRoutes(app: FastifyInstance, ctx: FlowTemplateContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/templates',
    {
      schema: {
        operationId: 'listFlowTemplates',
        tags,
        summary: 'List the templates of flows',
        description:
          'Complete flows for the usual cases, and beside them what the shop has saved of its own flows (`own`), those first ' +
          'and newest first, at most 1,000. POST …/{id}/install makes a flow of one.',
        querystring: TemplateQuery,
        response: { 200: ref(FlowTemplateList), ...problems(...READ_PROBLEMS) },
      },
    },
    async ({ tenantId, query }) => ({ data: await listTemplates(ctx.db, tenantId, query) }),
  )

  api.get(
    '/api/automation/templates/:id',
    {
      schema: {
        operationId: 'getFlowTemplate',
        tags,
        summary: 'Read a template',
        description:
          'With its parameters, and with what it is when none of them is given. Keys of the role viewer see it without the ' +
          'values of headers.',
        params: TemplateParams,
        response: { 200: ref(FlowTemplateView), ...problems(...READ_PROBLEMS, flowTemplateNotFound) },
      },
    },
    async ({ actor, tenantId, params }) => readTemplate(ctx.db, actor, tenantId, params.id),
  )

  api.post(
    '/api/automation/templates',
    {
      schema: {
        operationId: 'createFlowTemplate',
        tags,
        summary: 'Save a flow as a template',
        description:
          'Of its draft, as an export has it. `parameters` mark the values that are asked for at install. A flow that ' +
          'holds secrets is refused, unless a parameter asks for each of them.',
        body: ref(CreateTemplateRequest),
        response: {
          201: withHeaders(ref(FlowTemplateView), 'location'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowTemplateSecrets),
        },
      },
    },
    async ({ actor, tenantId, body }, reply) => {
      const row = await createTemplate(ctx, actor, tenantId, body)
      void reply.header('location', `/api/automation/templates/${row.id}`)
      return reply.code(201).send(viewOwn(actor, row))
    },
  )

  api.patch(
    '/api/automation/templates/:id',
    {
      schema: {
        operationId: 'changeFlowTemplate',
        tags,
        summary: 'Change a template of the shop’s own',
        description:
          'What is left out stays as it is. With `flow_id` the draft of that flow takes the place of what it was made of. ' +
          'Flows that were installed stay as they are.',
        params: TemplateParams,
        body: ref(ChangeTemplateRequest),
        response: {
          200: ref(FlowTemplateView),
          ...problems(
            ...WRITE_PROBLEMS,
            flowTemplateNotFound,
            flowTemplateReadyMade,
            flowNotFound,
            flowTemplateSecrets,
          ),
        },
      },
    },
    async ({ actor, tenantId, params, body }) =>
      viewOwn(actor, await changeTemplate(ctx, actor, tenantId, params.id, body)),
  )

  api.delete(
    '/api/automation/templates/:id',
    {
      schema: {
        operationId: 'deleteFlowTemplate',
        tags,
        summary: 'Delete a template of the shop’s own',
        description: 'Flows that were made of it stay.',
        params: TemplateParams,
        response: {
          204: Type.Null({ description: 'The template is deleted' }),
          ...problems(...WRITE_PROBLEMS, flowTemplateNotFound, flowTemplateReadyMade),
        },
      },
    },
    async ({ actor, tenantId, params }, reply) => {
      await deleteTemplate(ctx, actor, tenantId, params.id)
      return reply.code(204).send(null)
    },
  )

  api.post(
    '/api/automation/templates/:id/install',
    {
      schema: {
        operationId: 'installFlowTemplate',
        tags,
        summary: 'Make a flow of a template',
        description:
          'The flow is the shop’s own from then on: it can be changed like any other. Installing the template again ' +
          'with the same parameters answers with that flow, unless `another` is true. Parameters become values of the flow; only those of the type `template` may hold templates.',
        params: TemplateParams,
        body: ref(InstallTemplateRequest),
        response: {
          200: {
            ...ref(FlowSchema),
            description: 'It was installed with the same parameters before: the flow as it is',
          },
          201: withHeaders(ref(FlowSchema), 'location'),
          ...problems(...WRITE_PROBLEMS, flowTemplateNotFound, flowInvalid, tooManyFlows),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, params, body } = request
      const { flow, isNew } = await installTemplate(ctx, actor, tenantId, params.id, body)
      void reply.header('location', `/api/automation/flows/${flow.id}`)
      return reply.code(isNew ? 201 : 200).send(flowBody(flow) as never)
    },
  )
}
