import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { ownOrigin } from '#infra/auth/session-cookie.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref, withHeaders } from '#lib/api/schema.ts'
import { LabelQuery, NewPortalSession, PortalSessionLink, PortalSessionPage } from './schemas.ts'
import { createPortalLink, endPortalSessions, listPortalLinks, type PortalContext } from './service.ts'

const tags = ['sessions']

export function portalRoutes(app: FastifyInstance, ctx: PortalContext, publicUrl: string | null): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/portal-sessions',
    {
      schema: {
        operationId: 'createPortalSession',
        tags,
        summary: 'Make a link that logs somebody in to the console',
        description:
          'For a backend that knows its people: it sends them to `url`, which is good once. The session acts for the shop, ' +
          'or as the plugin does, and ends with the key that made the link.',
        body: ref(NewPortalSession),
        response: {
          201: withHeaders(ref(PortalSessionLink), 'cache-control'),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, body } = request
      const link = await createPortalLink(ctx, actor, tenantId, publicUrl ?? ownOrigin(request), body)
      return reply.code(201).header('cache-control', 'no-store').send(link)
    },
  )

  api.get(
    '/api/portal-sessions',
    {
      schema: {
        operationId: 'listPortalSessions',
        tags,
        summary: 'List portal links, newest first',
        description: 'With what became of them. What has ended goes 30 days later.',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(PortalSessionPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listPortalLinks(ctx, request.tenantId, request.query),
  )

  api.delete(
    '/api/portal-sessions',
    {
      schema: {
        operationId: 'revokePortalSessions',
        tags,
        summary: 'End all links and sessions of a label',
        description: 'As when a person leaves. There may be none.',
        querystring: LabelQuery,
        response: {
          204: Type.Null({ description: 'None of them is good any more' }),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request, reply) => {
      await endPortalSessions(ctx, request.actor, request.tenantId, request.query.label)
      return reply.code(204).send(null)
    },
  )
}
