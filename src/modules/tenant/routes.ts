import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref } from '#lib/api/schema.ts'
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
        response: { 200: ref(Tenant), ...problems(...READ_PROBLEMS) },
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
        description: 'What is left out stays as it is.',
        body: ref(TenantChange),
        response: {
          200: ref(Tenant),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request) => changeTenant(ctx, request.actor, request.tenantId, request.body),
  )
}
