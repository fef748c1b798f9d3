import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { deliveryNotFound, deliveryNotRetryable, inFlight } from '../errors.ts'
import { DeliveryDetail, DeliveryPage, DeliveryParams, DeliveryQuery, ProcessedCounts } from './schemas.ts'
import { type DeliveryContext, getDeliveries, getDelivery, processDue, retryDelivery } from './service.ts'

export function deliveryRoutes(app: FastifyInstance, ctx: DeliveryContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/plugins/events',
    {
      schema: {
        operationId: 'listDeliveries',
        tags: ['deliveries'],
        summary: 'The delivery log, newest first',
        description: "A plugin's own key sees its own deliveries.",
        querystring: DeliveryQuery,
        response: {
          200: ref(DeliveryPage),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request) => getDeliveries(ctx, request.actor, request.tenantId, request.query),
  )

  api.post(
    '/api/plugins/events',
    {
      config: { ownShare: true },
      schema: {
        operationId: 'processDeliveries',
        tags: ['deliveries'],
        summary: 'Deliver now what is due',
        description:
          'Workers do this by themselves. Counts what this call did; what workers have in hand is theirs.',
        response: {
          200: ref(ProcessedCounts),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request) => processDue(ctx, request.actor, request.tenantId),
  )

  api.get(
    '/api/plugins/events/:id',
    {
      schema: {
        operationId: 'getDelivery',
        tags: ['deliveries'],
        summary: 'One delivery with its attempts',
        description: 'Each attempt says when it was made, how long it took and what came back.',
        params: DeliveryParams,
        response: {
          200: ref(DeliveryDetail),
          ...problems(...READ_PROBLEMS, deliveryNotFound),
        },
      },
    },
    async (request) => getDelivery(ctx, request.actor, request.tenantId, request.params.id),
  )

  api.post(
    '/api/plugins/events/:id/retry',
    {
      schema: {
        operationId: 'retryDelivery',
        tags: ['deliveries'],
        summary: 'Send one delivery again, now',
        description:
          'With a fresh retry schedule; the webhook-id stays. What was sent stays so: sending it again is a delivery of ' +
          'its own, which is answered. While an attempt is under way it is refused.',
        params: DeliveryParams,
        response: {
          202: ref(DeliveryDetail),
          ...problems(...WRITE_PROBLEMS, deliveryNotFound, deliveryNotRetryable, inFlight),
        },
      },
    },
    async (request, reply) =>
      reply.code(202).send(await retryDelivery(ctx, request.actor, request.tenantId, request.params.id)),
  )
}
