/**
 * Connections: credentials of a shop, which flows name and never hold.
 *
 * Owns `connections`. What always holds:
 * - Values are sealed for their row, stand in no answer, and go to the connection's hosts alone; those of the kind
 *   `webhook_secret` go nowhere.
 * - Tokens of OAuth 2 are in memory alone, and asked for by one request at a time.
 * - A change that adds a host, or has tokens asked for elsewhere, gives the values anew.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Kysely, Transaction } from 'kysely'
import type { ConnectionKind, DB } from '#db/schema.ts'
import type { Authorisation, AuthorisationFault } from './authorisation.ts'
import { selectNamed } from './repository.ts'
import { connectionRoutes } from './routes.ts'
import { Connection, ConnectionChange, ConnectionPage, NewConnection } from './schemas.ts'
import {
  authorise,
  type ConnectionContext,
  type ConnectionUsage,
  readWebhookSecrets,
  type WebhookSecrets,
} from './service.ts'
import { TokenCache } from './tokens.ts'

export interface ConnectionService {
  /** Returns the addition to a request to this URL, or the reason why there is none. */
  authorise(
    tenantId: string,
    name: string,
    request: { url: string; timeoutMs: number; refused?: string | null },
  ): Promise<Authorisation | AuthorisationFault>
  /** Returns the connections that flows may name, with the kind and the hosts of each. */
  named(tenantId: string, db?: Kysely<DB> | Transaction<DB>): Promise<ReadonlyMap<string, NamedConnection>>
  /** Returns the secrets by which webhooks are verified; null: no such connection, or its values cannot be opened. */
  webhookSecrets(tenantId: string, name: string): Promise<WebhookSecrets | null>
  onUsage(lookup: ConnectionUsage): void
}

export { type Authorisation, type AuthorisationFault, withParameter } from './authorisation.ts'
export type { ConnectionUser, WebhookSecrets } from './service.ts'

export interface NamedConnection {
  kind: ConnectionKind
  hosts: readonly string[]
}

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
      usersOf: (...asked) => lookUpUsage(...asked),
    }
    app.decorate('connections', {
      authorise: (tenantId, name, request) => authorise(ctx, tenantId, name, request),
      named: async (tenantId, from = db) =>
        new Map((await selectNamed(from, tenantId)).map(({ name, ...rest }) => [name, rest])),
      webhookSecrets: (tenantId, name) => readWebhookSecrets(ctx, tenantId, name),
      onUsage: (lookup) => void (lookUpUsage = lookup),
    } satisfies ConnectionService)
    app.apiDocument.addTag('connections', 'Credentials that flows name')
    for (const schema of [Connection, ConnectionPage, NewConnection, ConnectionChange]) app.addSchema(schema)
    await app.register(async (routes) => connectionRoutes(routes, ctx))
  },
  { name: 'connection', dependencies: ['db', 'secrets', 'egress', 'auth'] },
)
