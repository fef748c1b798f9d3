/**
 * Sessions of browsers: a key or a portal link is exchanged for a cookie, or for a token where no cookie arrives.
 *
 * - What the browser holds are 32 random bytes, of which the database has the SHA-256 only.
 * - A session acts exactly as its key or its portal link does (infra/auth), and ends with it.
 * - It also ends 12 hours after it began, or as its portal link says, and after 30 minutes without a request.
 * - An ended session never lives again. Replicas forget it by the signal `session_changed`, and without it within the
 *   few seconds that infra/auth remembers sessions for.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { sessionRoutes } from './routes.ts'
import { NewSession, Session, SessionPage, SessionRecord, StartedSession } from './schemas.ts'
import type { SessionContext } from './service.ts'

export default async function sessionModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  app.apiDocument.addTag('sessions', 'Browsers: logging in and out, and links that do it')
  for (const schema of [Session, NewSession, StartedSession, SessionRecord, SessionPage]) {
    app.addSchema(schema)
  }
  const ctx: SessionContext = { db: app.db, signals: app.signals, identity: app.identity }
  await app.register(async (routes) =>
    sessionRoutes(routes, ctx, { identity: app.identity, publicUrl: config.publicUrl }),
  )
}
