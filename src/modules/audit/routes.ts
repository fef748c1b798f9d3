import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { auditEntryNotFound } from './errors.ts'
import { AuditLogEntry, AuditLogPage, AuditLogParams, AuditLogQuery } from './schemas.ts'
import { type AuditContext, listAuditLog, readAuditEntry } from './service.ts'

export function auditRoutes(app: FastifyInstance, ctx: AuditContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  api.get(
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
  api.get(
    '/api/audit-log/:id',
    {
      schema: {
        operationId: 'getAuditLogEntry',
        tags: ['audit'],
        summary: 'One entry of the audit log',
        description:
          "Of the tenant's entries; for a platform key that sends no X-Tenant-Id, of those above all tenants.",
        params: AuditLogParams,
        response: { 200: ref(AuditLogEntry), ...problems(...READ_PROBLEMS, auditEntryNotFound) },
      },
    },
    async (request) => readAuditEntry(ctx, request.tenantScope, request.params.id),
  )
}
