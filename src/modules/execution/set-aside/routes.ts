import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref } from '#lib/api/schema.ts'
import type { ExecutionContext } from '../context.ts'
import { setAsideNotFound } from '../errors.ts'
import { SetAsideEvent, SetAsidePage, SetAsideParams } from './schemas.ts'
import { listSetAside, takeUpSetAside } from './service.ts'

const tags = ['executions']

/** Events that no flow has seen, since matching them failed. */
export function setAsideRoutes(app: FastifyInstance, ctx: ExecutionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/set-aside-events',
    {
      schema: {
        operationId: 'listSetAsideEvents',
        tags,
        summary: 'List events that could not be matched against flows, newest first',
        description:
          'Matching one failed several times, and by it alone: it was set aside with the reason, so that the others go ' +
          'on. There is nothing here unless something is wrong with the service.',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(SetAsidePage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listSetAside(ctx, request.tenantId, request.query),
  )

  api.post(
    '/api/automation/set-aside-events/:id/take-up',
    {
      schema: {
        operationId: 'takeUpSetAsideEvent',
        tags,
        summary: 'Match an event again that was set aside',
        description:
          'It starts, wakes and cancels what it would have, by the flows of now and before anything newer, and leaves the ' +
          'list. If that fails again it stays there, with the reason.',
        params: SetAsideParams,
        response: { 202: ref(SetAsideEvent), ...problems(...WRITE_PROBLEMS, setAsideNotFound) },
      },
    },
    async (request, reply) => {
      const event = await takeUpSetAside(ctx, request.actor, request.tenantId, request.params.id)
      return reply.code(202).send(event)
    },
  )
}
