/**
 * Answers how things went over time, from tables that are added to as things happen (`src/infra/statistics`), never by
 * counting the logs. Writes nothing.
 */
import type { FastifyInstance } from 'fastify'
import { Overview } from './overview-schemas.ts'
import { createOverviewCache } from './overview-service.ts'
import { statsRoutes } from './routes.ts'
import { ActionStats, DeliveryStats, ExecutionStats } from './schemas.ts'

export default async function statsModule(app: FastifyInstance): Promise<void> {
  const ctx = { db: app.db, overviews: createOverviewCache() }
  app.apiDocument.addTag('statistics', 'How deliveries, executions and actions went over time')
  for (const schema of [DeliveryStats, ExecutionStats, ActionStats, Overview]) app.addSchema(schema)
  await app.register(async (routes) => statsRoutes(routes, ctx))
}
