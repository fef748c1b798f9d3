/**
 * Variables of a shop: values that all its flows may read.
 *
 * Owns `shop_variables`. What always holds:
 * - Every change raises the tenant's `flows_version` in its transaction, and values are read in the transaction that starts:
 *   once a change is answered, no process starts a flow by an older value.
 * - An execution has the values of when it started, however often a step of it is done again.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { variableRoutes } from './routes.ts'
import { Variable, VariableInput, VariablePage } from './schemas.ts'
import type { VariableContext, VariableUsage } from './service.ts'

export interface VariableService {
  onUsage(lookup: VariableUsage): void
}

export { selectNames, selectValues } from './repository.ts'
export type { VariableUser } from './service.ts'

declare module 'fastify' {
  interface FastifyInstance {
    variables: VariableService
  }
}

export default fp(
  async (app: FastifyInstance) => {
    let lookUpUsage: VariableUsage = () => Promise.resolve([])
    const ctx: VariableContext = {
      db: app.db,
      usersOf: (...asked) => lookUpUsage(...asked),
    }
    app.decorate('variables', {
      onUsage: (lookup) => void (lookUpUsage = lookup),
    } satisfies VariableService)
    app.apiDocument.addTag('variables', 'Values that flows of a shop read')
    for (const schema of [Variable, VariablePage, VariableInput]) app.addSchema(schema)
    await app.register(async (routes) => variableRoutes(routes, ctx))
  },
  { name: 'variable', dependencies: ['db', 'auth'] },
)
