import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { eventSegmentNotFound, eventSegmentReserved } from '../errors.ts'
import {
  EventSegment,
  EventSegmentInput,
  EventSegmentPage,
  EventSegmentParams,
  EventSegmentQuery,
} from './schemas.ts'
import { MAX_CLAIMS } from './segments.ts'
import { assignSegment, listClaims, releaseSegment, type SegmentContext } from './service.ts'

const tags = ['events']

export function segmentRoutes(app: FastifyInstance, ctx: SegmentContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/event-segments',
    {
      schema: {
        operationId: 'listEventSegments',
        tags,
        summary: 'List whose event types are, by their first segment',
        description:
          "A plugin's key publishes below its slug and below segments that it has claimed: the first plugin that " +
          `publishes or declares a type below a free one has it, up to ${MAX_CLAIMS} of them. Slugs, and the ` +
          "platform's segments, which are no plugin's, are not listed.",
        querystring: EventSegmentQuery,
        response: { 200: ref(EventSegmentPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listClaims(ctx, request.tenantId, request.query),
  )

  api.put(
    '/api/event-segments/:segment',
    {
      schema: {
        operationId: 'assignEventSegment',
        tags,
        summary: 'Say whose a segment is',
        description:
          'Takes it from who has it: what another plugin has declared below it is its no longer. `"plugin": null` ' +
          'keeps it for the shop, and no plugin claims it.',
        params: EventSegmentParams,
        body: ref(EventSegmentInput),
        response: {
          200: ref(EventSegment),
          201: ref(EventSegment),
          ...problems(...WRITE_PROBLEMS, eventSegmentReserved),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, params, body } = request
      const { created, segment } = await assignSegment(ctx, actor, tenantId, params.segment, body)
      return reply.code(created ? 201 : 200).send(segment)
    },
  )

  api.delete(
    '/api/event-segments/:segment',
    {
      schema: {
        operationId: 'releaseEventSegment',
        tags,
        summary: 'Make a segment free',
        description: 'The next plugin that publishes or declares a type below it claims it.',
        params: EventSegmentParams,
        response: {
          204: Type.Null({ description: "The segment is nobody's" }),
          ...problems(...WRITE_PROBLEMS, eventSegmentNotFound),
        },
      },
    },
    async (request, reply) => {
      await releaseSegment(ctx, request.actor, request.tenantId, request.params.segment)
      return reply.code(204).send(null)
    },
  )
}
