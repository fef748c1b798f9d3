import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { flowBody, flowInvalid, FlowSchema, type FlowService, tooManyFlows } from '#modules/flow/index.ts'
import { flowTemplateNotFound } from './errors.ts'
import {
  FlowTemplateList,
  FlowTemplateView,
  InstallTemplateRequest,
  TemplateParams,
  TemplateQuery,
} from './schemas.ts'
import { installTemplate, listTemplates, readTemplate } from './service.ts'

const tags = ['flows']

export function flowTemplateRoutes(app: FastifyInstance, flows: FlowService): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/templates',
    {
      schema: {
        operationId: 'listFlowTemplates',
        tags,
        summary: 'List the ready-made flows',
        description:
          'Complete flows for the usual cases, with the parameters that each takes. POST …/{id}/install ' +
          'makes a flow of one.',
        querystring: TemplateQuery,
        response: { 200: ref(FlowTemplateList), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => ({ data: listTemplates(request.query) }),
  )

  api.get(
    '/api/automation/templates/:id',
    {
      schema: {
        operationId: 'getFlowTemplate',
        tags,
        summary: 'Read a ready-made flow',
        description: 'With its parameters, and with what it is when none of them is given.',
        params: TemplateParams,
        response: { 200: ref(FlowTemplateView), ...problems(...READ_PROBLEMS, flowTemplateNotFound) },
      },
    },
    async (request) => readTemplate(request.params.id),
  )

  api.post(
    '/api/automation/templates/:id/install',
    {
      schema: {
        operationId: 'installFlowTemplate',
        tags,
        summary: 'Make a flow of a ready-made one',
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
      const { flow, isNew } = await installTemplate(flows, actor, tenantId, params.id, body)
      void reply.header('location', `/api/automation/flows/${flow.id}`)
      return reply.code(isNew ? 201 : 200).send(flowBody(flow) as never)
    },
  )
}
