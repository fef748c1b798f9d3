/**
 * A tenant's own settings. Tenants themselves are the platform's: infra/auth makes the row with the first change
 * that is made for one, and until then the defaults hold.
 */
import type { FastifyInstance } from 'fastify'
import { tenantRoutes } from './routes.ts'
import { QuotaSettings, Tenant, TenantChange, Usage } from './schemas.ts'

export default async function tenantModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('tenant', "A shop's own settings")
  for (const schema of [Tenant, TenantChange, Usage, QuotaSettings]) app.addSchema(schema)
  await app.register(async (routes) => tenantRoutes(routes, { db: app.db, quotas: app.quotas }))
}
