import { readFileSync } from 'node:fs'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { openTo } from '#infra/auth/auth.ts'
import { completeDocument } from './openapi-document.ts'
import { webhookDocuments } from './openapi-webhooks.ts'

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** The document that routes' schemas make, at /openapi.json, and a page to work from at /docs. */
export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'BetterCallSold Automation',
          version,
          description:
            'Plugins, events and signed webhooks of the BetterCallSold commerce platform. ' +
            'Errors are RFC 9457 problems; `code` is the contract.',
          license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
        },
        servers: [{ url: '/', description: 'This service' }],
        tags: [
          { name: 'plugins', description: 'What a shop has connected' },
          { name: 'deliveries', description: 'Events on their way to plugins, with every attempt' },
          { name: 'events', description: 'Intake, the feed and the catalogue of event types' },
          { name: 'replays', description: 'Delivering again, as durable jobs' },
          { name: 'erasures', description: "Forgetting one customer's data" },
          { name: 'actions', description: 'What can be done, by the platform or a plugin, and doing it' },
          {
            name: 'capabilities',
            description: 'What plugins bring to automations: triggers, actions, conditions',
          },
          { name: 'flows', description: 'Automations: triggers, steps, versions' },
          { name: 'automations', description: 'Automations of leads and bookings as the CRM knows them' },
          { name: 'messages', description: 'What automations wrote to customers and to the shop' },
          {
            name: 'executions',
            description: 'Runs of flows: looking at them, cancelling, retrying, halting',
          },
          { name: 'keys', description: 'Who may call' },
          { name: 'audit', description: 'Who changed what' },
          { name: 'tenant', description: "A shop's own settings" },
          { name: 'operation', description: 'Health, metrics, documentation' },
        ],
        components: {
          securitySchemes: {
            key: {
              type: 'http',
              scheme: 'bearer',
              description: 'A key of the form bcs_…: platform, tenant (admin, editor, viewer) or plugin.',
            },
          },
        },
        security: [{ key: [] }],
        webhooks: webhookDocuments(),
      },
      refResolver: {
        buildLocalReference: ({ $id }, _base, _fragment, index) =>
          typeof $id === 'string' ? $id : `def-${index}`,
      },
      transformObject: (made) =>
        completeDocument('openapiObject' in made ? made.openapiObject : made.swaggerObject),
    })
    // A page needs the browser's protections; setting all of them on every answer took 9 % of intake's CPU.
    // In a scope of its own: where helmet is registered it hooks into every request, also where it sets nothing.
    await app.register(async (docs) => {
      openTo(docs, 'public')
      await docs.register(helmet, { contentSecurityPolicy: false })
      await docs.register(swaggerUi, {
        routePrefix: '/docs',
        uiConfig: { deepLinking: true, persistAuthorization: true },
      })
    })
    app.get('/openapi.json', { schema: { hide: true }, config: { access: { role: 'public' } } }, async () =>
      app.swagger(),
    )
  },
  { name: 'openapi' },
)
