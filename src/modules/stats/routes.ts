import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { STATS, type StatsKind } from '#infra/statistics/tables.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { toCsv } from './csv.ts'
import { Overview, OverviewQuery } from './overview-schemas.ts'
import { type OverviewCache, readOverview } from './overview-service.ts'
import {
  ActionStats,
  ActionStatsQuery,
  DeliveryStats,
  DeliveryStatsQuery,
  ExecutionStats,
  ExecutionStatsQuery,
  PluginStatsParams,
  PluginStatsQuery,
} from './schemas.ts'
import {
  actionStats,
  deliveryStats,
  executionStats,
  pluginStats,
  type Stats,
  type StatsContext,
} from './service.ts'

const tags = ['statistics']
const KEPT =
  'Counted as it happens and written every 5 seconds; with `accept: text/csv` a line for each point.'

/** As JSON, or for `accept: text/csv` as CSV. */
function answerOf(schema: TSchema): TSchema {
  const answer = {
    description: 'The series',
    content: {
      'application/json': { schema: ref(schema) },
      'text/csv': { schema: Type.String({ description: 'One line for each point' }) },
    },
  } as unknown as TSchema
  return withHeaders(answer, 'vary')
}

function send(request: FastifyRequest, reply: FastifyReply, kind: StatsKind, stats: Stats): FastifyReply {
  void reply.header('vary', 'accept')
  if (!/^\s*text\/csv\b/i.test(request.headers.accept ?? ''))
    return reply.type('application/json').send(stats)
  return reply.type('text/csv; charset=utf-8').send(toCsv(stats, STATS[kind]))
}

export function statsRoutes(app: FastifyInstance, ctx: StatsContext & { overviews: OverviewCache }): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/stats/deliveries',
    {
      schema: {
        operationId: 'getDeliveryStats',
        tags,
        summary: 'Deliveries over time',
        description: `${KEPT} A plugin's own key sees its own deliveries.`,
        querystring: DeliveryStatsQuery,
        response: { 200: answerOf(DeliveryStats), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request, reply) =>
      send(
        request,
        reply,
        'deliveries',
        await deliveryStats(ctx, request.actor, request.tenantId, request.query),
      ),
  )

  api.get(
    '/api/plugins/:slug/stats',
    {
      schema: {
        operationId: 'getPluginStats',
        tags,
        summary: 'Deliveries to one plugin over time',
        description: KEPT,
        params: PluginStatsParams,
        querystring: PluginStatsQuery,
        response: { 200: answerOf(DeliveryStats), ...problems(...READ_PROBLEMS, pluginNotFound) },
      },
    },
    async (request, reply) =>
      send(
        request,
        reply,
        'deliveries',
        await pluginStats(ctx, request.tenantId, request.params.slug, request.query),
      ),
  )

  api.get(
    '/api/stats/executions',
    {
      schema: {
        operationId: 'getExecutionStats',
        tags,
        summary: 'Executions over time, by their end',
        description: KEPT,
        querystring: ExecutionStatsQuery,
        response: { 200: answerOf(ExecutionStats), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request, reply) =>
      send(request, reply, 'executions', await executionStats(ctx, request.tenantId, request.query)),
  )

  api.get(
    '/api/stats/actions',
    {
      schema: {
        operationId: 'getActionStats',
        tags,
        summary: 'Actions over time, by their end',
        description: `${KEPT} Those of flows and those of dispatches.`,
        querystring: ActionStatsQuery,
        response: { 200: answerOf(ActionStats), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request, reply) =>
      send(request, reply, 'actions', await actionStats(ctx, request.tenantId, request.query)),
  )

  api.get(
    '/api/overview',
    {
      schema: {
        operationId: 'getOverview',
        tags,
        summary: 'How the shop is doing, and what needs somebody',
        description: 'At most 5 seconds old.',
        querystring: OverviewQuery,
        response: { 200: ref(Overview), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => readOverview(ctx, request.tenantId, request.query.hours),
  )
}
