import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { sendWithDefinition } from '../answer.ts'
import type { FlowContext } from '../context.ts'
import { flowExportUnknown, flowNotFound, tooManyFlows } from '../errors.ts'
import { etagOf } from '../lifecycle/revision.ts'
import { FLOW_TAGS as tags, flowRefOf } from '../routes.ts'
import { DuplicateRequest } from '../lifecycle/schemas.ts'
import { Flow, FlowParams } from '../schemas.ts'
import { duplicateFlow } from '../service.ts'
import { FlowExport, ImportedFlow } from './schemas.ts'
import { exportFlow, importFlow } from './service.ts'

export function transferRoutes(app: FastifyInstance, ctx: FlowContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/flows/:id/duplicate',
    {
      schema: {
        operationId: 'duplicateFlow',
        tags,
        summary: 'Copy a flow',
        description: 'The copy is a draft of the draft, whatever runs.',
        params: FlowParams,
        body: ref(DuplicateRequest),
        response: {
          201: withHeaders(ref(Flow), 'location', 'etag'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, tooManyFlows),
        },
      },
    },
    async (request, reply) => {
      const flow = await duplicateFlow(ctx, request.actor, flowRefOf(request), request.body.name)
      void reply.headers({ location: `/api/automation/flows/${flow.id}`, etag: etagOf(flow.revision) })
      return sendWithDefinition(reply, 201, flow)
    },
  )

  api.get(
    '/api/automation/flows/:id/export',
    {
      schema: {
        operationId: 'exportFlow',
        tags,
        summary: 'Export a flow',
        description:
          'The draft as a document that can be imported elsewhere: plugins by their slugs, and all that it ' +
          'needs.',
        params: FlowParams,
        response: {
          200: withHeaders(ref(FlowExport), 'content-disposition'),
          ...problems(...READ_PROBLEMS, flowNotFound),
        },
      },
    },
    async (request, reply) => {
      const document = await exportFlow(ctx, request.actor, flowRefOf(request))
      return reply.header('content-disposition', 'attachment; filename="flow.json"').send(document)
    },
  )

  api.post(
    '/api/automation/flows/import',
    {
      schema: {
        operationId: 'importFlow',
        tags,
        summary: 'Import a flow',
        description:
          'Makes a draft of what was exported. `missing` says what it needs that is not there; with all of it there ' +
          'the draft can be published.',
        body: ref(FlowExport),
        response: {
          201: withHeaders(ref(ImportedFlow), 'location', 'etag'),
          ...problems(...WRITE_PROBLEMS, flowExportUnknown, tooManyFlows),
        },
      },
    },
    async (request, reply) => {
      const flow = await importFlow(ctx, request.actor, request.tenantId, request.body)
      void reply.headers({ location: `/api/automation/flows/${flow.id}`, etag: etagOf(flow.revision) })
      return sendWithDefinition(reply, 201, flow)
    },
  )
}
