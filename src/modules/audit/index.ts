/**
 * Reads the audit log. Entries are written by infra/audit, in the transaction of the change itself, and never
 * changed. Those of changes stay for good, and no erasure goes through them: what may be a customer's, such as the values of
 * filters and free text, is never written there. An entry without a tenant is about the platform and shown to platform keys only.
 */
import type { FastifyInstance } from 'fastify'
import { auditRoutes } from './routes.ts'
import { AuditLogEntry, AuditLogPage } from './schemas.ts'

export default async function auditModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('audit', 'Who changed what')
  for (const schema of [AuditLogEntry, AuditLogPage]) app.addSchema(schema)
  await app.register(async (routes) => auditRoutes(routes, { db: app.db }))
}
