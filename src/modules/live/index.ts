/**
 * The live stream of a browser: one connection that says which lists of a tenant have changed, so that pages ask again
 * when there is something to see and not by the clock.
 *
 * What always holds:
 * - A stream tells topics, never contents: a reader gets from the API what its rights reach, and no more.
 * - An open stream costs no statement but the look after its key or session, every 15 s.
 * - It ends with its key or session, when it is old, and before the server closes.
 */
import type { FastifyInstance } from 'fastify'
import { liveRoutes } from './routes.ts'
import { LiveStreams } from './streams.ts'

export default async function liveModule(app: FastifyInstance): Promise<void> {
  const streams = new LiveStreams({
    db: app.db,
    ground: app.identity.ground,
    changes: app.changes,
    log: app.log,
  })
  await app.register(async (routes) => liveRoutes(routes, streams))
  app.signals.subscribe('key_changed', () => streams.checkKeys())
  app.signals.subscribe('session_changed', () => streams.checkKeys())
  app.addHook('preClose', () => streams.close())
}
