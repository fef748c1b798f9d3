import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { AUTH_PROBLEMS } from '../../infra/auth.ts'
import {
  databaseUnavailable,
  invalidJson,
  invalidRequest,
  payloadTooLarge,
  unsupportedMediaType,
} from '../../infra/problems.ts'
import { problems, ref } from '../../lib/schema.ts'
import { Tenant, TenantChange } from './schemas.ts'
import { changeTenant, readTenant, type TenantContext } from './service.ts'

const tags = ['tenant']

export function tenantRoutes(app: FastifyInstance, ctx: TenantContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/tenant',
    {
      config: { access: { role: 'viewer' } },
      schema: {
        operationId: 'getTenant',
        tags,
        summary: "Read the tenant's settings",
        description: 'A tenant that nothing was changed for yet answers with the defaults.',
        response: { 200: ref(Tenant), ...problems(...AUTH_PROBLEMS, databaseUnavailable) },
      },
    },
    async (request) => readTenant(ctx, request.tenantId),
  )

  api.patch(
    '/api/tenant',
    {
      config: { access: { role: 'admin' } },
      schema: {
        operationId: 'changeTenant',
        tags,
        summary: "Change the tenant's settings",
        body: ref(TenantChange),
        response: {
          200: ref(Tenant),
          ...problems(
            ...AUTH_PROBLEMS,
            invalidRequest,
            invalidJson,
            payloadTooLarge,
            unsupportedMediaType,
            databaseUnavailable,
          ),
        },
      },
    },
    async (request) => changeTenant(ctx, request.actor, request.tenantId, request.body),
  )
}
