import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { IfMatch } from '#infra/http/request-headers.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { sendWithDefinition } from './answer.ts'
import { compile } from './definition/compile.ts'
import type { FlowContext } from './context.ts'
import type { Definition } from './definition/definition.ts'
import { flowChanged, flowInvalid, flowNotFound, tooManyFlows } from './errors.ts'
import { etagOf, type FlowRef } from './lifecycle/revision.ts'
import {
  Flow,
  FlowCheck,
  FlowDefinition,
  FlowPage,
  FlowParams,
  GRAPH_EXAMPLE,
  LINEAR_EXAMPLE,
  FlowQuery,
  ReplaceFlowQuery,
} from './schemas.ts'
import { createFlow, deleteFlow, listFlows, readFlow, replaceFlow } from './service.ts'

export const FLOW_TAGS = ['flows']

export function flowRoutes(app: FastifyInstance, ctx: FlowContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  const tags = FLOW_TAGS

  api.post(
    '/api/automation/flows',
    {
      schema: {
        operationId: 'createFlow',
        tags,
        summary: 'Create a flow',
        description:
          'The body is the definition, in the linear or the graph format. Without `status` a linear flow is created ' +
          'active and a graph as a draft. A draft may have errors: they are in `problems`. An active flow must have ' +
          'none: otherwise `flow_invalid`, and nothing is stored.',
        body: ref(FlowDefinition),
        response: {
          201: withHeaders(ref(Flow), 'location', 'etag'),
          ...problems(...WRITE_PROBLEMS, flowInvalid, tooManyFlows),
        },
      },
    },
    async (request, reply) => {
      const { actor, body } = request
      const flow = await createFlow(ctx, actor, request.tenantFor(body.tenant_id), sentDefinition(request))
      void reply.headers({ location: `/api/automation/flows/${flow.id}`, etag: etagOf(flow.revision) })
      return sendWithDefinition(reply, 201, flow)
    },
  )

  api.get(
    '/api/automation/flows',
    {
      schema: {
        operationId: 'listFlows',
        tags,
        summary: 'List flows, newest first',
        description:
          'One page of the flows that the filters choose, each without its definition: GET ' +
          '/api/automation/flows/{id} has that.',
        querystring: FlowQuery,
        response: { 200: ref(FlowPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listFlows(ctx, request.tenantId, request.query),
  )

  api.post(
    '/api/automation/flows/validate',
    {
      schema: {
        operationId: 'validateFlow',
        tags,
        summary: 'See what is wrong with a definition',
        description: 'Stores nothing. Errors keep a flow from being active, warnings do not.',
        body: Type.Object(
          {},
          {
            additionalProperties: true,
            description: 'A definition in either format',
            examples: [LINEAR_EXAMPLE, GRAPH_EXAMPLE],
          },
        ),
        response: { 200: ref(FlowCheck), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async (request) => {
      const { flow, problems: found } = await compile(ctx, request.tenantId, request.body)
      return { valid: flow !== null, problems: found }
    },
  )

  api.get(
    '/api/automation/flows/:id',
    {
      schema: {
        operationId: 'getFlow',
        tags,
        summary: 'Read a flow',
        description:
          'Its draft exactly as it was sent, with what is wrong with it as of now; keys of the role viewer see it ' +
          'without the credentials that headers and inputs hold. The ETag header is for If-Match.',
        params: FlowParams,
        response: { 200: withHeaders(ref(Flow), 'etag'), ...problems(...READ_PROBLEMS, flowNotFound) },
      },
    },
    async (request, reply) => {
      const flow = await readFlow(ctx, request.actor, flowRefOf(request))
      return sendWithDefinition(reply.header('etag', etagOf(flow.revision)), 200, flow)
    },
  )

  api.put(
    '/api/automation/flows/:id',
    {
      schema: {
        operationId: 'replaceFlow',
        tags,
        summary: 'Replace the draft of a flow',
        description:
          'What is published goes on running until the draft is published: `has_unpublished_changes` says whether ' +
          'they differ. With `?publish=true` it is published at once. `If-Match` guards against overwriting what ' +
          'somebody else has saved: 412 comes with the flow as it is now. Without it the last one wins.',
        params: FlowParams,
        querystring: ReplaceFlowQuery,
        headers: IfMatch,
        body: ref(FlowDefinition),
        response: {
          200: withHeaders(ref(Flow), 'etag'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowChanged, flowInvalid),
        },
      },
    },
    async (request, reply) => {
      const { actor, query, body } = request
      const flowRef = { ...flowRefOf(request), tenantId: request.tenantFor(body.tenant_id) }
      const flow = await replaceFlow(ctx, actor, flowRef, sentDefinition(request), query)
      return sendWithDefinition(reply.header('etag', etagOf(flow.revision)), 200, flow)
    },
  )

  api.delete(
    '/api/automation/flows/:id',
    {
      schema: {
        operationId: 'deleteFlow',
        tags,
        summary: 'Delete a flow',
        description:
          'Nothing starts it any more, its webhook URLs are gone, and what it has under way is cancelled. Its ' +
          'executions can still be read. `If-Match` as for PUT.',
        params: FlowParams,
        headers: IfMatch,
        response: {
          204: Type.Null({ description: 'The flow is deleted' }),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowChanged),
        },
      },
    },
    async (request, reply) => {
      await deleteFlow(ctx, request.actor, flowRefOf(request))
      return reply.code(204).send(null)
    },
  )
}

export function flowRefOf(request: FastifyRequest): FlowRef {
  const { id } = request.params as { id: string }
  return { tenantId: request.tenantId, id, ifMatch: request.headers['if-match'] }
}

/** The body and the text that it was. */
function sentDefinition({ body, bodyText }: FastifyRequest): Definition {
  return { value: body as Record<string, unknown>, text: bodyText ?? JSON.stringify(body) }
}
