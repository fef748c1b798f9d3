import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import type { Actor } from '#infra/auth/auth.ts'
import { hasScope } from '#infra/auth/scopes.ts'
import { EVENT_STREAM, EVENT_STREAM_HEADERS } from '#infra/http/event-stream-route.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems } from '#lib/api/schema.ts'
import { CHANGE_TOPICS, type ChangeTopic } from '#lib/change-topics.ts'
import { tooManyLiveStreams } from './errors.ts'
import type { LiveStreams } from './streams.ts'

const NAMES = CHANGE_TOPICS.join('|')

/** Lists of which a plugin reads its own part. */
const OF_PLUGINS: readonly ChangeTopic[] = ['plugins', 'deliveries', 'replays', 'delivery_retries']

/** Tells whether the caller hears of a topic: a plugin is not told of things that it may not list. */
function mayHear({ pluginId, scopes }: Actor, topic: ChangeTopic): boolean {
  if (pluginId === null || OF_PLUGINS.includes(topic)) return true
  return topic === 'events' && hasScope(scopes ?? [], 'events:read')
}

export function liveRoutes(app: FastifyInstance, streams: LiveStreams): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/stream',
    {
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamChanges',
        tags: ['operation'],
        summary: 'Hear when lists have changed, as server-sent events',
        description:
          'Events: `changed` with `{ "topics": [...] }`, at most four a second: what can be listed of these has changed, ask ' +
          'again. It says neither what nor how much, and the first one names all topics. `replays`, `recoveries`, `erasures`, ' +
          '`bulk_changes` and `delivery_retries` tell that such a job was asked for, got on or ended. A plugin hears of ' +
          'plugins, deliveries, replays, retries of deliveries and, with the scope `events:read`, of events. Comments keep the connection alive. The ' +
          'server ends a stream after 10 minutes, when it is stopped, and within 15 seconds when its key is revoked or expires, ' +
          'or its session ends: come back, as EventSource does by itself. A tenant may have 20 of them open, a plugin 5, fewer where ' +
          'all places of a process are taken.',
        querystring: Type.Object(
          {
            topics: Type.Optional(
              Type.String({
                pattern: `^(${NAMES})(,(${NAMES}))*$`,
                maxLength: 200,
                description: `Of these: ${CHANGE_TOPICS.join(', ')}; separated by commas. Default: all`,
                examples: ['events,deliveries'],
              }),
            ),
            seconds: Type.Optional(
              Type.Integer({
                minimum: 0,
                maximum: 600,
                description: 'How long to follow; 0: the first hint alone. Default: 600',
                examples: [60],
              }),
            ),
          },
          { additionalProperties: false },
        ),
        response: { 200: EVENT_STREAM, ...problems(...READ_PROBLEMS, tooManyLiveStreams) },
      },
    },
    async ({ tenantId, actor, query }, reply) => {
      const wanted = (query.topics?.split(',') ?? CHANGE_TOPICS) as ChangeTopic[]
      const topics = new Set(wanted.filter((topic) => mayHear(actor, topic)))
      const stream = streams.open(tenantId, actor, { topics, seconds: query.seconds })
      if (stream === null) throw tooManyLiveStreams()
      return reply.headers(EVENT_STREAM_HEADERS).send(stream)
    },
  )
}
