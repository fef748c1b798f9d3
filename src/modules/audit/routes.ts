import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { AuditLogPage, AuditLogQuery } from './schemas.ts'
import { type AuditContext, listAuditLog } from './service.ts'

export function auditRoutes(app: FastifyInstance, ctx: AuditContext): void {
  app.withTypeProvider<TypeBoxTypeProvider>().get(
    '/api/audit-log',
    {
      schema: {
        operationId: 'listAuditLog',
        tags: ['audit'],
        summary: 'Who changed what, newest first',
        description:
          "The tenant's entries; for a platform key that sends no X-Tenant-Id, those above all tenants, such as " +
          'changes to platform keys.',
        querystring: AuditLogQuery,
        response: {
          200: ref(AuditLogPage),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request) => listAuditLog(ctx, request.tenantScope, request.query),
  )
}
