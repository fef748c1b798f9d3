import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { SearchQuery, SearchResult } from './schemas.ts'
import { search, type SearchContext } from './service.ts'

export function searchRoutes(app: FastifyInstance, ctx: SearchContext): void {
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    '/api/search',
    {
      schema: {
        operationId: 'search',
        tags: ['search'],
        summary: 'Find what is called so',
        description:
          'Plugins by slug or name, flows and event types by name, events by id or the caller’s own, executions by id or ' +
          'key, deliveries by id, messages by id or recipient, entries of the action log by id or invocation, and for admins ' +
          'those of the audit log by id. Names and slugs may be given by their beginning, in any case, ' +
          "the caller's own ids and keys by their beginning as they are written. A plugin's own key finds the plugin and " +
          'its deliveries.',
        querystring: SearchQuery,
        response: { 200: ref(SearchResult), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => search(ctx, request.tenantId, request.actor, request.query.q.trim()),
  )
}
