/**
 * Automations as the platform's CRM knows them: a few fields in place of a flow.
 *
 * Owns no table: an automation is a flow whose row keeps the fields beside the definition that was made of them. What
 * always holds:
 * - The definition is a pure function of the fields (definition.ts), and both change in one transaction.
 * - A flow that was edited by hand is not overwritten: the automation says that it is customised, and its fields change
 *   again after a reset.
 * - One that goes on as a flow is that flow from then on; its fields are an automation of their own, switched off.
 * - What an automation says does not work is said of its own fields, never of a step that the caller has not written.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AutomationContext } from './context.ts'
import { DueWork } from './due-work.ts'
import { OPERATION_SCHEMAS } from './operation-schemas.ts'
import { operationRoutes } from './operation-routes.ts'
import { automationRoutes } from './routes.ts'
import { NAMED } from './schemas.ts'

export default fp(
  async (app: FastifyInstance) => {
    const ctx: AutomationContext = { db: app.db, flows: app.flows, platform: app.platform }
    const dueWork = new DueWork(app.flowEngine)
    app.addHook('preClose', () => dueWork.stop())
    app.apiDocument.addTag('automations', 'Automations of leads and bookings as the CRM knows them')
    for (const schema of [...NAMED, ...OPERATION_SCHEMAS]) app.addSchema(schema)
    await app.register(async (routes) => automationRoutes(routes, ctx))
    await app.register(async (routes) => operationRoutes(routes, ctx, dueWork))
  },
  { name: 'automation', dependencies: ['db', 'auth', 'flow', 'flow-template', 'flow-engine', 'platform'] },
)
