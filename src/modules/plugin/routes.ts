import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { IfMatch } from '#infra/http/request-headers.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { Plugin, PluginPage, RegisteredPlugin } from './answer-schemas.ts'
import { etagOf, patchPlugin, replacePlugin } from './change-service.ts'
import { pluginRefOf, withEtag } from './conditional-request.ts'
import type { PluginContext } from './context.ts'
import { headersNeeded, pluginExists, pluginNotFound, revisionConflict, webhookUrlRefused } from './errors.ts'
import { PluginInput, PluginParams, PluginPatch, PluginQuery, PluginReplacement } from './schemas.ts'
import { deletePlugin, listPlugins, readPlugin, registerPlugin } from './service.ts'

const tags = ['plugins']
const CHANGE_PROBLEMS = [
  ...WRITE_PROBLEMS,
  pluginNotFound,
  headersNeeded,
  revisionConflict,
  webhookUrlRefused,
]

export function pluginRoutes(app: FastifyInstance, ctx: PluginContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/plugins',
    {
      schema: {
        operationId: 'registerPlugin',
        tags,
        summary: 'Register a plugin',
        description:
          'Connects a third-party service to the shop. The answer shows `secret`, which signs every delivery by ' +
          'Standard Webhooks 1.0, this once. Events that its subscriptions take are delivered from now on; for ' +
          'earlier ones see the replays.',
        body: ref(PluginInput),
        response: {
          201: withHeaders(ref(RegisteredPlugin), 'location', 'etag'),
          ...problems(...WRITE_PROBLEMS, pluginExists, webhookUrlRefused),
        },
      },
    },
    async (request, reply) => {
      const { tenant_id, ...input } = request.body
      const plugin = await registerPlugin(ctx, request.actor, request.tenantFor(tenant_id), input)
      return reply
        .code(201)
        .headers({ location: `/api/plugins/${plugin.slug}`, etag: etagOf(plugin.revision) })
        .send(plugin)
    },
  )

  api.get(
    '/api/plugins',
    {
      schema: {
        operationId: 'listPlugins',
        tags,
        summary: 'List plugins, newest first',
        description: "A plugin's own key sees that plugin only.",
        querystring: PluginQuery,
        response: { 200: ref(PluginPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listPlugins(ctx, request.actor, request.tenantId, request.query),
  )

  api.get(
    '/api/plugins/:slug',
    {
      schema: {
        operationId: 'getPlugin',
        tags,
        summary: 'Read a plugin',
        description: 'With its health and how many deliveries wait. The ETag header is for If-Match.',
        params: PluginParams,
        response: { 200: withHeaders(ref(Plugin), 'etag'), ...problems(...READ_PROBLEMS, pluginNotFound) },
      },
    },
    async (request, reply) =>
      withEtag(reply, await readPlugin(ctx, request.actor, request.tenantId, request.params.slug)),
  )

  api.put(
    '/api/plugins/:slug',
    {
      schema: {
        operationId: 'replacePlugin',
        tags,
        summary: "Replace a plugin's settings",
        description:
          'What is left out returns to its default; status and signing secrets stay. Another webhook_url starts ' +
          'with a clean health; deliveries that wait go there. Where stored headers are kept, only a key that may ' +
          'read them moves the plugin to another origin.',
        params: PluginParams,
        headers: IfMatch,
        body: ref(PluginReplacement),
        response: { 200: withHeaders(ref(Plugin), 'etag'), ...problems(...CHANGE_PROBLEMS) },
      },
    },
    async (request, reply) =>
      withEtag(reply, await replacePlugin(ctx, request.actor, pluginRefOf(request), request.body)),
  )

  api.patch(
    '/api/plugins/:slug',
    {
      schema: {
        operationId: 'patchPlugin',
        tags,
        summary: "Change some of a plugin's settings",
        description:
          'What is left out stays, null returns to the default. Otherwise like PUT. A plugin’s own key changes ' +
          '`webhook_url`, `base_url`, `events` and `include_own`.',
        params: PluginParams,
        headers: IfMatch,
        body: ref(PluginPatch),
        response: { 200: withHeaders(ref(Plugin), 'etag'), ...problems(...CHANGE_PROBLEMS) },
      },
    },
    async (request, reply) =>
      withEtag(reply, await patchPlugin(ctx, request.actor, pluginRefOf(request), request.body)),
  )

  api.delete(
    '/api/plugins/:slug',
    {
      schema: {
        operationId: 'deletePlugin',
        tags,
        summary: 'Remove a plugin',
        description:
          'Its keys stop working, its secrets are erased, and deliveries that wait are given up. The delivery log ' +
          'keeps what was. The slug is free again at once.',
        params: PluginParams,
        response: {
          204: Type.Null({ description: 'The plugin is removed' }),
          ...problems(...WRITE_PROBLEMS, pluginNotFound),
        },
      },
    },
    async (request, reply) => {
      await deletePlugin(ctx, request.actor, request.tenantId, request.params.slug)
      return reply.code(204).send(null)
    },
  )
}
