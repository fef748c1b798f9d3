import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref } from '#lib/api/schema.ts'
import { QuotaSettings, Tenant, TenantChange, Usage } from './schemas.ts'
import { changeTenant, readTenant, readUsage, setQuotas, type TenantContext } from './service.ts'

const tags = ['tenant']

export function tenantRoutes(app: FastifyInstance, ctx: TenantContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/tenant',
    {
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

  api.get(
    '/api/usage',
    {
      schema: {
        operationId: 'getUsage',
        tags,
        summary: 'What the tenant has and does of what it may',
        description: 'What is counted by the minute is what the process that answers has counted.',
        response: { 200: ref(Usage), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => readUsage(ctx, request.tenantId),
  )

  api.put(
    '/api/tenant/quotas',
    {
      schema: {
        operationId: 'setQuotas',
        tags,
        summary: "Set the tenant's quotas",
        description:
          'For platform keys. What is left out has its default. What the tenant has already beyond a lower quota stays, ' +
          'and grows no further. Other processes go by it within 5 s.',
        body: ref(QuotaSettings),
        response: { 200: ref(Usage), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async (request) => setQuotas(ctx, request.actor, request.tenantId, request.body),
  )
}
