/**
 * API keys: who may call, as whom.
 *
 * - A key is shown once, when it is made; the database has its SHA-256 only.
 * - A platform key belongs to no tenant (tenant_id null), a tenant key to one tenant with a role, a plugin key
 *   to one plugin and lives no longer than it.
 * - Only a platform key, or the operator at the command line, makes platform keys.
 * - A revoked key is never live again. Replicas forget it by the signal `key_changed`, and without it within
 *   the few seconds that infra/auth remembers keys for.
 */
import type { FastifyInstance } from 'fastify'
import { keyRoutes } from './routes.ts'
import { ApiKey, ApiKeyPage, ApiKeyWithSecret, NewApiKey } from './schemas.ts'

export { createKey, type KeyContext, listKeys, revokeKey } from './service.ts'
export { lockPlugin } from './repository.ts'
export type { NewApiKey } from './schemas.ts'

export default async function keyModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('keys', 'Who may call')
  for (const schema of [ApiKey, ApiKeyWithSecret, ApiKeyPage, NewApiKey]) app.addSchema(schema)
  await app.register(async (routes) => keyRoutes(routes, { db: app.db, signals: app.signals }))
}
