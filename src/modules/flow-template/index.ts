/**
 * Templates of flows, to be installed: the ready-made ones, and those that shops save of their own flows.
 *
 * Owns `automation_templates`. What is installed is a flow like any other, and says by `template_id` where it came from.
 * What always holds:
 * - A template is a pure function of its parameters. The same values make the same definition.
 * - With its defaults a ready-made one compiles without errors and warnings for every tenant, and active it does what it says on
 *   the reference platform.
 * - Plain text that was given goes into the flow's variables, where nothing is read as a template; where an own template
 *   has it elsewhere, text that would be read as one is refused.
 * - An own template holds no secret: a flow that does is refused, or the parameter that asks for it has no default.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Actor } from '#infra/auth/auth.ts'
import type { Flow } from '#modules/flow/index.ts'
import type { FlowTemplateContext } from './context.ts'
import { flowTemplateRoutes } from './routes.ts'
import { NAMED } from './schemas.ts'
import { defineFlow, type Installation, installTemplate } from './service.ts'

export interface FlowTemplateService {
  /** @throws `flow_template_not_found`, `invalid_request`, `flow_invalid` if it is to be active */
  install(
    actor: Actor,
    tenantId: string,
    id: string,
    installation: Installation,
  ): Promise<{ flow: Flow; isNew: boolean }>
  /** The definition that installing makes. @throws `flow_template_not_found`, `invalid_request` */
  define(id: string, installation: Omit<Installation, 'automation'>): Record<string, unknown>
}

/** The parts of ready-made flows, for those who build flows of the same kind. */
export {
  bookingVariables,
  bookingZone,
  IS_BOOKED,
  IS_CONFIRMED,
  IS_MOVED,
  IS_OPEN,
  isAhead,
  SAME_BOOKING,
  waitUntilBefore,
} from './booking.ts'
export { BY_HAND, contactedStep, LEAD_CONTACT } from './lead.ts'
export { ADDRESS, CUSTOMER_ADDRESS, isReachable, messageStep, type PersonChannel } from './message.ts'
export { defineFlow } from './service.ts'
export { type Definition, type EventTrigger, onEvent, type Step } from './template.ts'

declare module 'fastify' {
  interface FastifyInstance {
    flowTemplates: FlowTemplateService
  }
}

export default fp(
  async (app: FastifyInstance) => {
    const ctx: FlowTemplateContext = { db: app.db, flows: app.flows }
    app.decorate('flowTemplates', {
      install: (actor, tenantId, id, installation) => installTemplate(ctx, actor, tenantId, id, installation),
      define: defineFlow,
    } satisfies FlowTemplateService)
    for (const schema of NAMED) app.addSchema(schema)
    await app.register(async (routes) => flowTemplateRoutes(routes, ctx))
  },
  { name: 'flow-template', dependencies: ['db', 'auth', 'flow'] },
)
