import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { Nullable, problems, ref } from '#lib/api/schema.ts'
import { eventBodyGone, eventNotFound, pluginNotSubscribed } from '../errors.ts'
import { type EventContext, readEvent, replayEvent } from './service.ts'
import {
  EventDetail,
  EventDetailQuery,
  EventPage,
  EventParams,
  EventReplay,
  EventReplayResult,
  FeedQuery,
} from './schemas.ts'
import { readFeed } from './feed.ts'

const tags = ['events']

export function eventRoutes(app: FastifyInstance, ctx: EventContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/events',
    {
      schema: {
        operationId: 'listEvents',
        tags,
        summary: 'Read the feed of events, oldest or newest first',
        description:
          'For reconciling: keep `next_cursor` and go on from there. No event appears behind a cursor that was given ' +
          'out, although transactions end in any order. A page may be short, or empty, while `has_more` is true. ' +
          'With `order=desc` it begins at the newest, and a cursor leads to what is older. ' +
          "A plugin's key sees the events since its registration that the plugin is subscribed to.",
        querystring: FeedQuery,
        response: { 200: ref(EventPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => readFeed(ctx, request.tenantId, request.actor.pluginId, request.query),
  )

  api.get(
    '/api/events/:id',
    {
      schema: {
        operationId: 'getEvent',
        tags,
        summary: 'Read an event with its deliveries, executions and what it caused',
        description: "A plugin's key sees the events that went to the plugin, with that delivery alone.",
        params: EventParams,
        querystring: EventDetailQuery,
        response: { 200: ref(EventDetail), ...problems(...READ_PROBLEMS, eventNotFound, invalidCursor) },
      },
    },
    async (request) =>
      readEvent(ctx, request.tenantId, request.actor.pluginId, request.params.id, request.query),
  )

  api.post(
    '/api/events/:id/replay',
    {
      schema: {
        operationId: 'replayEvent',
        tags,
        summary: 'Deliver an event again',
        description:
          'To every plugin that is subscribed to it now, also those that never got it, or to one of them. What was ' +
          'sent or has failed starts from the first attempt; what waits is due at once. The `webhook-id` stays. ' +
          "A plugin's own key has it delivered to that plugin, if it came since its registration.",
        params: EventParams,
        body: Nullable(ref(EventReplay)),
        response: {
          202: ref(EventReplayResult),
          ...problems(...WRITE_PROBLEMS, eventNotFound, eventBodyGone, pluginNotSubscribed),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, params, body } = request
      reply.code(202)
      return replayEvent(ctx, actor, tenantId, params.id, body?.plugin)
    },
  )
}
