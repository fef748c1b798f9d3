import { EVENT_STREAM, EVENT_STREAM_HEADERS } from '#infra/http/event-stream-route.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { problems } from '#lib/api/schema.ts'
import type { ExecutionContext } from '../context.ts'
import { executionNotFound, tooManyStreams } from '../errors.ts'
import { END_ID, type ExecutionStreams } from './streams.ts'
import { ExecutionParams } from '../read/schemas.ts'
import { checkExecution } from '../read/service.ts'

const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({
      pattern: `^([0-9]{1,9}|${END_ID})$`,
      description: 'The id of the last event that was received: the stream goes on behind it',
    }),
  ),
})

const EVENTS =
  '`step` (an ExecutionStep) for each step that is done, `status` (an Execution) at the beginning and whenever it ' +
  'changes, `end` when the execution has ended, after which the stream ends. `step_started` (an ExecutionStepStarted) says ' +
  'while it runs which step it is at, in a loop for each item: at most five times a second, without an id, and not of ' +
  'steps that are over sooner'

export function streamRoutes(app: FastifyInstance, ctx: ExecutionContext, streams: ExecutionStreams): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/executions/:id/stream',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamExecution',
        tags: ['executions'],
        summary: 'Follow an execution as server-sent events',
        description:
          `Events: ${EVENTS}. Comments keep the connection alive. The server ends a stream after 10 minutes, and when ` +
          'it is stopped: come back with Last-Event-ID, as EventSource does by itself. It also ends within 5 seconds ' +
          'when its key is revoked or expires, or its session ends. A tenant may have 20 of them open, fewer where all places of a process ' +
          'are taken: then a tenant that has more than another gives way.',
        params: ExecutionParams,
        headers: StreamHeaders,
        response: {
          200: EVENT_STREAM,
          204: Type.Null({ description: 'The caller has seen its end' }),
          ...problems(...READ_PROBLEMS, executionNotFound, tooManyStreams),
        },
      },
    },
    async (request, reply) => {
      const { tenantId, params, actor } = request
      const last = request.headers['last-event-id']
      await checkExecution(ctx, tenantId, params.id)
      if (last === END_ID) return reply.code(204).send(null)
      const stream = streams.open(tenantId, actor, params.id, Number(last ?? 0))
      if (stream === null) throw tooManyStreams()
      return reply.headers(EVENT_STREAM_HEADERS).send(stream)
    },
  )
}
