import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { IfNoneMatch } from '#infra/http/request-headers.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import type { ActionIndex } from './action-index.ts'
import { breaksFor, type BreaksOf, type UsageLookup } from './breaks.ts'
import { listActions, listPluginActions, type Question, type TaggedList } from './discovery.ts'
import { actionNotFound, actionsInvalid, tooManyActions } from './errors.ts'
import {
  ActionDeclarations,
  ActionNameInput,
  ActionNameParams,
  ActionPage,
  ActionQuery,
  PluginActionQuery,
  PluginParams,
  RegisteredActions,
  RegistryAction,
} from './schemas.ts'
import { chooseDefault, registerActions, type RegistryContext } from './service.ts'
import { findUsage, PluginUsage } from './usage.ts'
import type { VersionCache } from './version-cache.ts'

const tags = ['actions']
const NotModified = Type.Null({ description: 'What the ETag stands for still holds' })

export function registryRoutes(
  app: FastifyInstance,
  ctx: RegistryContext,
  cache: VersionCache<ActionIndex>,
  { breaksOf, lookUpUsage }: { breaksOf: BreaksOf; lookUpUsage: UsageLookup },
): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/plugins/actions',
    {
      schema: {
        operationId: 'listActions',
        tags,
        summary: 'Discover actions',
        description:
          'Those of the platform and of every plugin, by action type; with `group`, by plugin or category. ' +
          "A plugin's own key sees the platform's and its own.",
        querystring: ActionQuery,
        headers: IfNoneMatch,
        response: {
          200: withHeaders(ref(ActionPage), 'etag', 'cache-control'),
          304: withHeaders(NotModified, 'etag', 'cache-control'),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request, reply) => answer(reply, await listActions(cache, questionOf(request), request.query)),
  )

  api.put(
    '/api/plugins/actions/:action_type/owner',
    {
      schema: {
        operationId: 'chooseActionOwner',
        tags,
        summary: 'Say whose action is meant when no plugin is named',
        description:
          'Several plugins may have an action of one name. Without this, who had it first keeps it: a newcomer changes ' +
          'nothing for dispatches and drafts without `plugin_id`. `is_default` of the actions shows whose it is.',
        params: ActionNameParams,
        body: ref(ActionNameInput),
        response: {
          200: ref(RegistryAction),
          ...problems(...WRITE_PROBLEMS, actionNotFound, pluginNotFound),
        },
      },
    },
    async ({ actor, tenantId, params, body }) => {
      const plugin = (await cache.get(tenantId)).plugin(body.plugin)
      if (plugin === undefined) throw pluginNotFound()
      await chooseDefault(ctx, actor, tenantId, params.action_type, plugin.id)
      const chosen = (await cache.get(tenantId)).plugin(plugin.id)?.byType.get(params.action_type)
      if (chosen === undefined) throw actionNotFound()
      return chosen
    },
  )

  api.get(
    '/api/plugins/:slug/actions',
    {
      schema: {
        operationId: 'listPluginActions',
        tags,
        summary: "Discover a plugin's actions",
        description: 'What it registered, and what its manifest declares besides.',
        params: PluginParams,
        querystring: PluginActionQuery,
        headers: IfNoneMatch,
        response: {
          200: withHeaders(ref(ActionPage), 'etag', 'cache-control'),
          304: withHeaders(NotModified, 'etag', 'cache-control'),
          ...problems(...READ_PROBLEMS, invalidCursor, pluginNotFound),
        },
      },
    },
    async (request, reply) => {
      const { slug } = request.params
      return answer(reply, await listPluginActions(cache, questionOf(request), slug, request.query))
    },
  )

  api.get(
    '/api/plugins/:slug/usage',
    {
      schema: {
        operationId: 'getPluginUsage',
        tags,
        summary: 'Say which flows count on a plugin',
        description: 'By its actions, in the drafts of flows and in what is published; at most 200 flows.',
        params: PluginParams,
        response: { 200: ref(PluginUsage), ...problems(...READ_PROBLEMS, pluginNotFound) },
      },
    },
    async ({ tenantId, actor, params }) =>
      findUsage(await cache.get(tenantId), lookUpUsage, { tenantId, actor }, params.slug),
  )

  api.post(
    '/api/plugins/:slug/register-actions',
    {
      schema: {
        operationId: 'registerActions',
        tags,
        summary: "Register a plugin's actions",
        description:
          'Replaces what the plugin registered before, all at once: nothing changes unless every action is good. ' +
          'Registering the same again changes nothing, so that a plugin may do it whenever it starts.',
        params: PluginParams,
        body: ref(ActionDeclarations),
        response: {
          200: ref(RegisteredActions),
          ...problems(...WRITE_PROBLEMS, pluginNotFound, actionsInvalid, tooManyActions),
        },
      },
    },
    async (request) => {
      const { actor, tenantId, params, body } = request
      const registered = await registerActions(ctx, actor, tenantId, params.slug, body.actions)
      const { plugin_id: id, plugin: slug } = registered
      const breaks = await breaksOf(tenantId, { id, slug }, registered)
      return { ...registered, breaks: breaksFor(actor, breaks) }
    },
  )
}

function questionOf(request: FastifyRequest): Question {
  const { actor, tenantId, url, headers } = request
  return { actor, tenantId, url, known: headers['if-none-match'] }
}

function answer(reply: FastifyReply, { etag, list }: TaggedList): FastifyReply {
  void reply.headers({ etag, 'cache-control': 'private, no-cache' })
  return list === null ? reply.code(304).send() : reply.send(list)
}
