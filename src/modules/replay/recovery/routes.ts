import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { recoveryFinished, recoveryNotFound, tooManyRecoveries } from '../errors.ts'
import {
  NewRecovery,
  RecoveredPluginPage,
  Recovery,
  RecoveryPage,
  RecoveryParams,
  RecoveryQuery,
} from './schemas.ts'
import {
  cancelRecovery,
  createRecovery,
  listRecoveredPlugins,
  listRecoveries,
  readRecovery,
  type RecoveryContext,
} from './service.ts'

const tags = ['replays']

export function recoveryRoutes(app: FastifyInstance, ctx: RecoveryContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/recoveries',
    {
      schema: {
        operationId: 'createRecovery',
        tags,
        summary: 'Deliver again to all plugins what an outage has cost them',
        description:
          "One durable job for all of the tenant's plugins, or with a platform key and `all_tenants` for those of all " +
          'tenants: each plugin gets a replay of its own, and they go on where they were after any crash. Left to ' +
          'itself it delivers what a plugin subscribes to, has never got and that does not wait. With `dry_run` it ' +
          'counts and queues nothing; the counts stand at the recovery, and by plugin below it.',
        body: ref(NewRecovery),
        response: {
          202: withHeaders(ref(Recovery), 'location'),
          ...problems(...WRITE_PROBLEMS, tooManyRecoveries),
        },
      },
    },
    async (request, reply) => {
      const recovery = await createRecovery(ctx, request.actor, request.tenantScope, request.body)
      return reply.code(202).header('location', `/api/recoveries/${recovery.id}`).send(recovery)
    },
  )

  api.get(
    '/api/recoveries',
    {
      schema: {
        operationId: 'listRecoveries',
        tags,
        summary: 'List recoveries, newest first',
        description: "The tenant's; with a platform key that names no tenant those of all tenants.",
        querystring: RecoveryQuery,
        response: { 200: ref(RecoveryPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listRecoveries(ctx, request.tenantScope, request.query),
  )

  api.get(
    '/api/recoveries/:id',
    {
      schema: {
        operationId: 'getRecovery',
        tags,
        summary: 'Read a recovery and how far it is',
        description: 'Its counts are the sum over its plugins, as of a few seconds ago while it runs.',
        params: RecoveryParams,
        response: { 200: ref(Recovery), ...problems(...READ_PROBLEMS, recoveryNotFound) },
      },
    },
    async (request) => readRecovery(ctx, request.tenantScope, request.params.id),
  )

  api.get(
    '/api/recoveries/:id/plugins',
    {
      schema: {
        operationId: 'listRecoveredPlugins',
        tags,
        summary: 'List what a recovery came to, plugin by plugin',
        description: 'The plugins that it has come to so far, in the order in which it does.',
        params: RecoveryParams,
        querystring: RecoveryQuery,
        response: {
          200: ref(RecoveredPluginPage),
          ...problems(...READ_PROBLEMS, recoveryNotFound, invalidCursor),
        },
      },
    },
    async (request) => listRecoveredPlugins(ctx, request.tenantScope, request.params.id, request.query),
  )

  api.post(
    '/api/recoveries/:id/cancel',
    {
      schema: {
        operationId: 'cancelRecovery',
        tags,
        summary: 'Stop a recovery',
        description:
          'Ends its replays, too. Deliveries that they have queued already stay queued. Cancelling it again changes ' +
          'nothing.',
        params: RecoveryParams,
        response: { 200: ref(Recovery), ...problems(...WRITE_PROBLEMS, recoveryNotFound, recoveryFinished) },
      },
    },
    async (request) => cancelRecovery(ctx, request.actor, request.tenantScope, request.params.id),
  )
}
