/**
 * Shows operators, above all tenants, how the service stands, and who its tenants are. Owns no table. What waits is
 * counted up to a limit; lanes are gone over, of which each plugin has one.
 */
import type { FastifyInstance } from 'fastify'
import { operationRoutes } from './routes.ts'
import { Operation, TenantPage, TenantSummary } from './schemas.ts'

export default async function operationModule(app: FastifyInstance): Promise<void> {
  for (const schema of [Operation, TenantSummary, TenantPage]) app.addSchema(schema)
  await app.register(async (routes) =>
    operationRoutes(routes, {
      db: app.db,
      pool: app.pools.api,
      backgroundState: () => app.backgroundState(),
    }),
  )
}
