/**
 * Finds anything by its name, for the console's palette. Owns no table. Executions, events, deliveries and messages
 * are found by an index; plugins, flows and event types of a shop are gone over. All together have a second: each
 * look has the rest of it.
 */
import type { FastifyInstance } from 'fastify'
import { searchRoutes } from './routes.ts'
import { SearchResult } from './schemas.ts'

const TIME_MS = 1_000

export default async function searchModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('search', 'Finding things by what they are called')
  app.addSchema(SearchResult)
  await app.register(async (routes) => searchRoutes(routes, { db: app.db, timeMs: TIME_MS }))
}
