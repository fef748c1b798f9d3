import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { IfNoneMatch } from '#infra/http/request-headers.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import {
  type ActionBreak,
  breaksFor,
  type RegistryAction,
  type RegistryService,
  tooManyActions,
  type VersionCache,
} from '#modules/registry/index.ts'
import type { CapabilityContext } from './context.ts'
import { capabilitiesUnavailable, manifestInvalid } from './errors.ts'
import { MANIFEST_MAX_BYTES } from './fetch.ts'
import { type CapabilitySnapshot, listCapabilities } from './merged.ts'
import { refreshCapabilities } from './refresh.ts'
import {
  CapabilityManifest,
  CapabilityPage,
  CapabilityQuery,
  CapabilityUpdate,
  PluginCapabilities,
  PluginParams,
} from './schemas.ts'
import { type CapabilityUpdate as Updated, pushManifest, readCapabilities } from './service.ts'

const tags = ['capabilities']

export interface CapabilityRouteOptions {
  ctx: CapabilityContext
  cache: VersionCache<CapabilitySnapshot>
  actionsOf: (tenantId: string) => Promise<readonly RegistryAction[]>
  breaksOf: RegistryService['breaksOf']
}

export function capabilityRoutes(
  app: FastifyInstance,
  { ctx, cache, actionsOf, breaksOf }: CapabilityRouteOptions,
): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  const withBreaks = async (
    { actor, tenantId }: Pick<FastifyRequest, 'actor' | 'tenantId'>,
    update: Updated,
  ): Promise<Updated & { breaks: ActionBreak[] }> => {
    const { plugin_id: id, plugin: slug } = update.capabilities
    const { removed, needs = [] } = update
    const breaks = await breaksOf(tenantId, { id, slug }, { removed: removed.actions, needs })
    return { ...update, breaks: breaksFor(actor, breaks) }
  }

  api.get(
    '/api/capabilities',
    {
      schema: {
        operationId: 'listCapabilities',
        tags,
        summary: 'See what automations can be made of',
        description:
          'Triggers, actions and conditions of the platform and of every plugin. The platform comes first, then ' +
          'the plugins by slug.',
        querystring: CapabilityQuery,
        headers: IfNoneMatch,
        response: {
          200: withHeaders(ref(CapabilityPage), 'etag', 'cache-control'),
          304: withHeaders(
            Type.Null({ description: 'What the ETag stands for still holds' }),
            'etag',
            'cache-control',
          ),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request, reply) => {
      const { tenantId, url, headers } = request
      const question = { tenantId, url, known: headers['if-none-match'] }
      const { etag, page } = await listCapabilities(cache, actionsOf, question, request.query)
      void reply.headers({ etag, 'cache-control': 'private, no-cache' })
      return page === null ? reply.code(304).send(null) : reply.send(page)
    },
  )

  api.get(
    '/api/plugins/:slug/capabilities',
    {
      schema: {
        operationId: 'getPluginCapabilities',
        tags,
        summary: "Read a plugin's capability manifest",
        description: 'With when it last changed, when it was last looked at and how that went.',
        params: PluginParams,
        response: { 200: ref(PluginCapabilities), ...problems(...READ_PROBLEMS, pluginNotFound) },
      },
    },
    async (request) => readCapabilities(ctx, request.actor, request.tenantId, request.params.slug),
  )

  api.put(
    '/api/plugins/:slug/manifest',
    {
      bodyLimit: MANIFEST_MAX_BYTES,
      schema: {
        operationId: 'putManifest',
        tags,
        summary: "Give a plugin's capability manifest",
        description:
          'All of it or nothing: event types of its triggers that nobody else has become types that the plugin may ' +
          'publish, its actions enter the registry, its conditions can be used in flows. From then on it is not ' +
          'fetched by itself.',
        params: PluginParams,
        body: ref(CapabilityManifest),
        response: {
          200: ref(CapabilityUpdate),
          ...problems(...WRITE_PROBLEMS, pluginNotFound, manifestInvalid, tooManyActions),
        },
      },
    },
    async (request) => {
      const { actor, tenantId, params, body } = request
      return withBreaks(request, await pushManifest(ctx, actor, tenantId, params.slug, body))
    },
  )

  api.post(
    '/api/plugins/:slug/capabilities/refresh',
    {
      config: { ownShare: true },
      schema: {
        operationId: 'refreshCapabilities',
        tags,
        summary: "Fetch a plugin's capability manifest",
        description:
          'By a signed GET of /api/capabilities below its base_url, now, and from then on about every hour. What ' +
          'it gave last stays when it gives nothing or something that cannot be used.',
        params: PluginParams,
        response: {
          200: ref(CapabilityUpdate),
          ...problems(
            ...WRITE_PROBLEMS,
            pluginNotFound,
            manifestInvalid,
            tooManyActions,
            capabilitiesUnavailable,
          ),
        },
      },
    },
    async (request) => {
      const { actor, tenantId, params } = request
      return withBreaks(request, await refreshCapabilities(ctx, actor, tenantId, params.slug))
    },
  )
}
