import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Authorisation, AuthorisationFault } from './authorisation.ts'
import { selectHosts } from './repository.ts'
import { connectionRoutes } from './routes.ts'
import { Connection, ConnectionChange, ConnectionPage, NewConnection } from './schemas.ts'
import { authorise, type ConnectionContext, type ConnectionUsage } from './service.ts'
import { TokenCache } from './tokens.ts'

/**
 * Connections: credentials of a shop, which flows name and never hold.
 *
 * Owns `connections`. What always holds:
 * - Values are sealed for their row, stand in no answer, and go to the connection's hosts alone.
 * - Tokens of OAuth 2 are in memory alone, and asked for by one request at a time.
 * - Whoever adds a host, or has tokens asked for elsewhere, gives the values anew.
 */
export interface ConnectionService {
  /** What a request to this URL is sent with, or why it cannot be. */
  authorise(
    tenantId: string,
    name: string,
    request: { url: string; timeoutMs: number; refused?: string | null },
  ): Promise<Authorisation | AuthorisationFault>
  /** What flows may name, with the hosts of each. */
  hosts(tenantId: string, db?: Kysely<DB> | Transaction<DB>): Promise<ReadonlyMap<string, readonly string[]>>
  onUsage(lookup: ConnectionUsage): void
}

export { allowsHost, type Authorisation, type AuthorisationFault, withParameter } from './authorisation.ts'
export type { ConnectionUser } from './service.ts'

declare module 'fastify' {
  interface FastifyInstance {
    connections: ConnectionService
  }
}

export default fp(
  async (app: FastifyInstance) => {
    const { db, secretBox, egress } = app
    let lookUpUsage: ConnectionUsage = () => Promise.resolve([])
    const tokens = new TokenCache(egress)
    const ctx: ConnectionContext = {
      db,
      secretBox,
      egress,
      tokens,
      usersOf: (tenantId, name) => lookUpUsage(tenantId, name),
    }
    app.decorate('connections', {
      authorise: (tenantId, name, request) => authorise(ctx, tenantId, name, request),
      hosts: async (tenantId, from = db) =>
        new Map((await selectHosts(from, tenantId)).map(({ name, hosts }) => [name, hosts])),
      onUsage: (lookup) => void (lookUpUsage = lookup),
    } satisfies ConnectionService)
    app.apiDocument.addTag('connections', 'Credentials that flows name')
    for (const schema of [Connection, ConnectionPage, NewConnection, ConnectionChange]) app.addSchema(schema)
    await app.register(async (routes) => connectionRoutes(routes, ctx))
  },
  { name: 'connection', dependencies: ['db', 'secrets', 'egress', 'auth'] },
)
