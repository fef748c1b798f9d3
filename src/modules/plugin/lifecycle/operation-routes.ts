import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { eventBodyGone, eventNotFound, eventTypeNotFound } from '#modules/event/index.ts'
import { Plugin, RotatedSecret, TestResult } from '../answer-schemas.ts'
import { withEtag } from '../conditional-request.ts'
import type { PluginContext } from '../context.ts'
import { pluginNotFound, tooManySecrets } from '../errors.ts'
import { pausePlugin, resumePlugin } from './service.ts'
import { PluginParams, Resumption, SecretRotation } from '../schemas.ts'
import { rotateSecret } from '../secrets/service.ts'
import { testPlugin } from '../service.ts'
import { SubscriptionTrial, SubscriptionTrialInput } from '../subscriptions/schemas.ts'
import { trySubscriptions } from '../subscriptions/service.ts'
import { secretUnreadable } from '#modules/webhook-delivery/index.ts'

const tags = ['plugins']
const PROBLEMS = [...WRITE_PROBLEMS, pluginNotFound]

/** The routes that do something with a plugin, beside changing it. */
export function pluginOperationRoutes(app: FastifyInstance, ctx: PluginContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/plugins/:slug/test',
    {
      config: { ownShare: true },
      schema: {
        operationId: 'testPlugin',
        tags,
        summary: 'Send a test event',
        description:
          'Delivers a signed `plugin.test` to webhook_url now and says how it went. It works while the plugin is ' +
          'paused or disabled, too, and leaves its health as it is.',
        params: PluginParams,
        response: { 200: ref(TestResult), ...problems(...PROBLEMS, secretUnreadable) },
      },
    },
    async (request) => testPlugin(ctx, request.actor, request.tenantId, request.params.slug),
  )

  api.post(
    '/api/plugins/:slug/subscriptions/test',
    {
      schema: {
        operationId: 'testSubscriptions',
        tags,
        summary: 'Say whether the plugin would get an event, and why not',
        description:
          "Takes data, a type's sample or a past event, and the plugin's subscriptions or others to try. Nothing is " +
          "sent. A plugin's key tries with past events that went to the plugin.",
        params: PluginParams,
        body: ref(SubscriptionTrialInput),
        response: {
          200: ref(SubscriptionTrial),
          ...problems(...PROBLEMS, eventNotFound, eventTypeNotFound, eventBodyGone),
        },
      },
    },
    async (request) =>
      trySubscriptions(ctx, request.actor, request.tenantId, request.params.slug, request.body),
  )

  api.post(
    '/api/plugins/:slug/rotate-secret',
    {
      schema: {
        operationId: 'rotateSecret',
        tags,
        summary: 'Get a new signing secret',
        description:
          'The answer shows it this once. Until the overlap is over the older secrets sign beside it, so that the ' +
          'plugin can change over without missing a delivery. At most 10 are live at once. It also takes the place ' +
          'of a secret that cannot be opened any more.',
        params: PluginParams,
        body: ref(SecretRotation),
        response: { 200: ref(RotatedSecret), ...problems(...PROBLEMS, tooManySecrets) },
      },
    },
    async (request) => rotateSecret(ctx, request.actor, request.tenantId, request.params.slug, request.body),
  )

  api.post(
    '/api/plugins/:slug/pause',
    {
      schema: {
        operationId: 'pausePlugin',
        tags,
        summary: 'Hold deliveries',
        description:
          'Nothing is dropped: what waits, and what comes, goes out on resume. What a plugin has paused by its own key ' +
          'it may resume; what the shop has paused the shop resumes.',
        params: PluginParams,
        response: { 200: withHeaders(ref(Plugin), 'etag'), ...problems(...PROBLEMS) },
      },
    },
    async (request, reply) =>
      withEtag(reply, await pausePlugin(ctx, request.actor, request.tenantId, request.params.slug)),
  )

  api.post(
    '/api/plugins/:slug/resume',
    {
      schema: {
        operationId: 'resumePlugin',
        tags,
        summary: 'Release deliveries',
        description:
          'Makes a paused or disabled plugin active and forgets its failures, so that deliveries go out at once. ' +
          'An active plugin whose breaker is open is tried at once, too.',
        params: PluginParams,
        body: ref(Resumption),
        response: { 200: withHeaders(ref(Plugin), 'etag'), ...problems(...PROBLEMS) },
      },
    },
    async (request, reply) =>
      withEtag(
        reply,
        await resumePlugin(ctx, request.actor, request.tenantId, request.params.slug, request.body),
      ),
  )
}
