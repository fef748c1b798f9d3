import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { deliveryRetryFinished, deliveryRetryNotFound, tooManyDeliveryRetries } from '../errors.ts'
import {
  DeliveryRetry,
  DeliveryRetryEstimate,
  DeliveryRetryPage,
  DeliveryRetryParams,
  DeliveryRetryQuery,
  NewDeliveryRetry,
} from './schemas.ts'
import {
  type BulkRetryContext,
  cancelBulkRetry,
  createBulkRetry,
  estimateBulkRetry,
  listBulkRetries,
  readBulkRetry,
} from './service.ts'

const tags = ['deliveries']

export function bulkRetryRoutes(app: FastifyInstance, ctx: BulkRetryContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/plugins/events/retry',
    {
      schema: {
        operationId: 'retryDeliveries',
        tags,
        summary: 'Send all deliveries again that a filter chooses',
        description:
          'A durable job: it goes on where it was after any crash. Each delivery starts from the first attempt, behind ' +
          'what happens now; what has come since is left alone, and so is what has arrived. `dry_run` answers with the ' +
          "count. It pauses while an active plugin has 50,000 due. A plugin's own key has only that plugin's sent.",
        body: ref(NewDeliveryRetry),
        response: {
          200: ref(DeliveryRetryEstimate),
          202: withHeaders(ref(DeliveryRetry), 'location'),
          ...problems(...WRITE_PROBLEMS, tooManyDeliveryRetries),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, body } = request
      if (body.dry_run) return estimateBulkRetry(ctx, actor, tenantId, body)
      const retry = await createBulkRetry(ctx, actor, tenantId, body)
      return reply.code(202).header('location', `/api/delivery-retries/${retry.id}`).send(retry)
    },
  )

  api.get(
    '/api/delivery-retries',
    {
      schema: {
        operationId: 'listDeliveryRetries',
        tags,
        summary: 'List bulk retries of deliveries, newest first',
        description: "A plugin's own key sees those of that plugin alone.",
        querystring: DeliveryRetryQuery,
        response: { 200: ref(DeliveryRetryPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listBulkRetries(ctx, request.actor, request.tenantId, request.query),
  )

  api.get(
    '/api/delivery-retries/:id',
    {
      schema: {
        operationId: 'getDeliveryRetry',
        tags,
        summary: 'Read a bulk retry of deliveries, and how far it is',
        description: 'Counts what was queued and skipped so far; `status` says whether it is done.',
        params: DeliveryRetryParams,
        response: { 200: ref(DeliveryRetry), ...problems(...READ_PROBLEMS, deliveryRetryNotFound) },
      },
    },
    async (request) => readBulkRetry(ctx, request.actor, request.tenantId, request.params.id),
  )

  api.post(
    '/api/delivery-retries/:id/cancel',
    {
      schema: {
        operationId: 'cancelDeliveryRetry',
        tags,
        summary: 'Stop a bulk retry of deliveries',
        description: 'What it has queued stays queued. Stopping it again changes nothing.',
        params: DeliveryRetryParams,
        response: {
          200: ref(DeliveryRetry),
          ...problems(...WRITE_PROBLEMS, deliveryRetryNotFound, deliveryRetryFinished),
        },
      },
    },
    async (request) => cancelBulkRetry(ctx, request.actor, request.tenantId, request.params.id),
  )
}
