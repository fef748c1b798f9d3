import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { keyNotFound } from './errors.ts'
import { KeyQuery, ApiKey, ApiKeyPage, ApiKeyParams, ApiKeyWithSecret, NewApiKey } from './schemas.ts'
import { createKey, type KeyContext, listKeys, readKey, revokeKey } from './service.ts'

const tags = ['keys']
const SCOPE =
  "Works on the tenant's keys; for a platform key that sends no X-Tenant-Id, on the platform's own keys."

export function keyRoutes(app: FastifyInstance, ctx: KeyContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/keys',
    {
      schema: {
        operationId: 'createKey',
        tags,
        summary: 'Make a key',
        description:
          'The answer shows the key once; only its hash is stored. A `tenant` key needs `role`, a `plugin` key ' +
          'needs `plugin`. Only a platform key makes `platform` keys, without X-Tenant-Id.',
        body: ref(NewApiKey),
        response: { 201: withHeaders(ref(ApiKeyWithSecret), 'location'), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async (request, reply) => {
      const key = await createKey(ctx, request.actor, request.tenantScope, request.body)
      return reply.code(201).header('location', `/api/keys/${key.id}`).send(key)
    },
  )

  api.get(
    '/api/keys',
    {
      schema: {
        operationId: 'listKeys',
        tags,
        summary: 'List keys, newest first',
        description: `${SCOPE} Revoked and expired keys are listed too.`,
        querystring: KeyQuery,
        response: { 200: ref(ApiKeyPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listKeys(ctx, request.tenantScope, request.query),
  )

  api.get(
    '/api/keys/:id',
    {
      schema: {
        operationId: 'getKey',
        tags,
        summary: 'Read a key',
        description: SCOPE,
        params: ApiKeyParams,
        response: { 200: ref(ApiKey), ...problems(...READ_PROBLEMS, keyNotFound) },
      },
    },
    async (request) => readKey(ctx, request.tenantScope, request.params.id),
  )

  api.delete(
    '/api/keys/:id',
    {
      schema: {
        operationId: 'revokeKey',
        tags,
        summary: 'Revoke a key',
        description: `${SCOPE} It is refused everywhere at once and stays in the list. Revoking it again changes nothing.`,
        params: ApiKeyParams,
        response: {
          204: Type.Null({ description: 'The key is revoked' }),
          ...problems(...WRITE_PROBLEMS, keyNotFound),
        },
      },
    },
    async (request, reply) => {
      await revokeKey(ctx, request.actor, request.tenantScope, request.params.id)
      return reply.code(204).send(null)
    },
  )
}
