import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { replayFinished, replayNotFound, tooManyReplays } from './errors.ts'
import {
  NewReplay,
  PluginSlugParams,
  Replay,
  ReplayEstimate,
  ReplayPage,
  ReplayParams,
  ReplayQuery,
} from './schemas.ts'
import {
  cancelReplay,
  createReplay,
  estimateReplay,
  listReplays,
  readReplay,
  type ReplayContext,
} from './service.ts'

const tags = ['replays']

export function replayRoutes(app: FastifyInstance, ctx: ReplayContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/plugins/:slug/replays',
    {
      schema: {
        operationId: 'createReplay',
        tags,
        summary: "Deliver a plugin's events again",
        description:
          'Without `status`, every event of the time range that the plugin subscribes to now is delivered again, ' +
          'also events from before it was registered (but not by its own key) or while it was off. `undelivered` ' +
          'leaves out of them what has arrived or waits, any other `status` takes deliveries of that status. ' +
          'What is waiting already becomes due at once and is not queued twice. `dry_run` answers with the count. ' +
          'A replay is a durable job: it goes on where it was after any crash. While the plugin is paused the ' +
          'deliveries wait; with 50,000 of them waiting the replay pauses until there are fewer.',
        params: PluginSlugParams,
        body: ref(NewReplay),
        response: {
          200: ref(ReplayEstimate),
          202: withHeaders(ref(Replay), 'location'),
          ...problems(...WRITE_PROBLEMS, pluginNotFound, tooManyReplays),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, body } = request
      const { slug } = request.params
      if (body.dry_run) return estimateReplay(ctx, actor, tenantId, slug, body)
      const replay = await createReplay(ctx, actor, tenantId, slug, body)
      return reply.code(202).header('location', `/api/replays/${replay.id}`).send(replay)
    },
  )

  api.get(
    '/api/replays',
    {
      schema: {
        operationId: 'listReplays',
        tags,
        summary: 'List replays, newest first',
        description:
          'Every replay that was asked for, with how far it is. `plugin` finds those of one plugin.',
        querystring: ReplayQuery,
        response: { 200: ref(ReplayPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listReplays(ctx, request.actor, request.tenantId, request.query),
  )

  api.get(
    '/api/replays/:id',
    {
      schema: {
        operationId: 'getReplay',
        tags,
        summary: 'Read a replay and how far it is',
        description:
          'Counts what was looked at, queued and skipped so far; `status` says whether it is done.',
        params: ReplayParams,
        response: { 200: ref(Replay), ...problems(...READ_PROBLEMS, replayNotFound) },
      },
    },
    async (request) => readReplay(ctx, request.actor, request.tenantId, request.params.id),
  )

  api.post(
    '/api/replays/:id/cancel',
    {
      schema: {
        operationId: 'cancelReplay',
        tags,
        summary: 'Stop a replay',
        description:
          'Deliveries that it has queued already stay queued. Cancelling it again changes nothing.',
        params: ReplayParams,
        response: { 200: ref(Replay), ...problems(...WRITE_PROBLEMS, replayNotFound, replayFinished) },
      },
    },
    async (request) => cancelReplay(ctx, request.actor, request.tenantId, request.params.id),
  )
}
