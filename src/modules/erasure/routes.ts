import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { erasureNotFound, tooManyErasures } from './errors.ts'
import { Erasure, ErasurePage, ErasureParams, ErasureQuery, NewErasure } from './schemas.ts'
import { createErasure, type ErasureContext, listErasures, readErasure } from './service.ts'

const tags = ['erasures']

export function erasureRoutes(app: FastifyInstance, ctx: ErasureContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/erasures',
    {
      schema: {
        operationId: 'createErasure',
        tags,
        summary: "Forget one customer's data",
        description:
          'Erases the bodies of all events whose data has this value at this path, and the answers of plugins to ' +
          'them; deliveries of them that still wait become `failed` with reason `erased`. The events stay in the ' +
          'feed without a body, and their own ids stay taken. Executions of flows that were started by such data, or ' +
          'whose steps took or gave it, are emptied with their steps, actions and messages; what still runs or waits ' +
          'is cancelled with reason `erased`. In the log of actions the payload and the result go where they have the ' +
          'value at the path: where your dispatches have it at another, as `to`, ask for that one, too. It covers every event that was accepted before this ' +
          'request: events that come later are delivered as ever. A durable job: it goes on after any crash. The ' +
          'value is kept encrypted while the job runs and removed at its end.',
        body: ref(NewErasure),
        response: {
          202: withHeaders(ref(Erasure), 'location'),
          ...problems(...WRITE_PROBLEMS, tooManyErasures),
        },
      },
    },
    async (request, reply) => {
      const erasure = await createErasure(ctx, request.actor, request.tenantId, request.body)
      return reply.code(202).header('location', `/api/erasures/${erasure.id}`).send(erasure)
    },
  )

  api.get(
    '/api/erasures',
    {
      schema: {
        operationId: 'listErasures',
        tags,
        summary: 'List erasures, newest first',
        description: 'Every request to forget somebody, with how far it is.',
        querystring: ErasureQuery,
        response: { 200: ref(ErasurePage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listErasures(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/erasures/:id',
    {
      schema: {
        operationId: 'getErasure',
        tags,
        summary: 'Read an erasure and how far it is',
        description: 'Counts what was looked at and erased so far; `status` says whether it is done.',
        params: ErasureParams,
        response: { 200: ref(Erasure), ...problems(...READ_PROBLEMS, erasureNotFound) },
      },
    },
    async (request) => readErasure(ctx, request.tenantId, request.params.id),
  )
}
