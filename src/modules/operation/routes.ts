import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { Operation, TenantPage, TenantQuery } from './schemas.ts'
import { listTenants, type OperationContext, readOperation } from './service.ts'

const tags = ['operation']

export function operationRoutes(app: FastifyInstance, ctx: OperationContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/operation',
    {
      schema: {
        operationId: 'getOperation',
        tags,
        summary: 'How the service stands, above all tenants',
        description:
          'For platform keys: what waits and for how long, who works it off, and which versions there are. ' +
          'GET /metrics has the same as figures over time.',
        response: { 200: ref(Operation), ...problems(...READ_PROBLEMS) },
      },
    },
    async () => readOperation(ctx),
  )

  api.get(
    '/api/tenants',
    {
      schema: {
        operationId: 'listTenants',
        tags,
        summary: 'List tenants, by id',
        description: 'For platform keys. A tenant is there from the first change that is made for it.',
        querystring: TenantQuery,
        response: { 200: ref(TenantPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listTenants(ctx, request.query),
  )
}
