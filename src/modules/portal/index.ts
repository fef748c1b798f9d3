/**
 * Portal links: how the platform's backend lets people in to the console, without keys in browsers.
 *
 * - A link is good once and for a short time. Its token stands in the URL's fragment and is stored as SHA-256 only.
 * - It is exchanged for a session (modules/session) that acts for its tenant with its role, or as its plugin does.
 * - Link and session end with the key that made the link, with the plugin, and with all others of their label.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { portalRoutes } from './routes.ts'
import { NewPortalSession, PortalSession, PortalSessionLink, PortalSessionPage } from './schemas.ts'
import type { PortalContext } from './service.ts'

export { portalLinkInvalid } from './errors.ts'
export { redeemPortalLink } from './service.ts'

export default async function portalModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  for (const schema of [NewPortalSession, PortalSession, PortalSessionLink, PortalSessionPage]) {
    app.addSchema(schema)
  }
  const ctx: PortalContext = { db: app.db, signals: app.signals, ground: app.identity.ground }
  await app.register(async (routes) => portalRoutes(routes, ctx, config.publicUrl))
}
