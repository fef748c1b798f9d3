import helmet from '@fastify/helmet'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { openTo } from '#infra/auth/auth.ts'
import { version } from '#infra/version.ts'
import { completeDocument } from './openapi-document.ts'

type Document = NonNullable<FastifyDynamicSwaggerOptions['openapi']>
export type Webhooks = NonNullable<Extract<Document, { webhooks?: unknown }>['webhooks']>

/** Takes what modules add to the document beside their routes. */
export interface ApiDocument {
  /** Declares a tag of the module's operations. */
  addTag(name: string, description: string): void
  /** Describes requests that the service sends, by name. */
  addWebhooks(documents: Webhooks): void
}

declare module 'fastify' {
  interface FastifyInstance {
    apiDocument: ApiDocument
  }
}

export interface OpenapiOptions {
  /** The order of reading; tags and webhooks that are not named come last, in the order of their declaration. */
  order: { tags: readonly string[]; webhooks: readonly string[] }
}

/** The document that routes' schemas make, at /openapi.json, and a page to work from at /docs. */
export default fp(
  async (app, { order }: OpenapiOptions) => {
    const tags = new Map([['operation', 'Health, metrics, documentation']])
    const webhooks = new Map<string, Webhooks[string]>()
    app.decorate('apiDocument', {
      addTag: (name, description) => addOnce(tags, name, description),
      addWebhooks: (documents) => {
        for (const [name, document] of Object.entries(documents)) addOnce(webhooks, name, document)
      },
    })
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
        // Placeholders: the modules' declarations are put in when the document is made.
        tags: [],
        components: {
          securitySchemes: {
            key: {
              type: 'http',
              scheme: 'bearer',
              description:
                'A key of the form bcs_…: platform, tenant (admin, editor, viewer) or plugin. Or the token of a session, ' +
                'bcss_…, from POST /api/session with the header x-bcs-session: bearer.',
            },
            session: {
              type: 'apiKey',
              in: 'cookie',
              name: '__Host-bcs_session',
              description:
                "A browser's session, from POST /api/session; over http on this machine its name is bcs_session. Every " +
                'method but GET and HEAD also needs Sec-Fetch-Site: same-origin, or the same Origin, and the header ' +
                'x-bcs-console: 1.',
            },
          },
        },
        security: [{ key: [] }, { session: [] }],
        webhooks: {},
      },
      refResolver: {
        buildLocalReference: ({ $id }, _base, _fragment, index) =>
          typeof $id === 'string' ? $id : `def-${index}`,
      },
      transformObject: (made) =>
        completeDocument({
          ...('openapiObject' in made ? made.openapiObject : made.swaggerObject),
          tags: inOrder(tags, order.tags).map(([name, description]) => ({ name, description })),
          webhooks: Object.fromEntries(inOrder(webhooks, order.webhooks)),
        }),
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

function addOnce<T>(declared: Map<string, T>, name: string, value: T): void {
  if (declared.has(name)) throw new Error(`the OpenAPI document has two declarations of ${name}`)
  declared.set(name, value)
}

function inOrder<T>(declared: ReadonlyMap<string, T>, names: readonly string[]): [name: string, value: T][] {
  const place = (name: string): number => (names.includes(name) ? names.indexOf(name) : names.length)
  return [...declared].sort(([a], [b]) => place(a) - place(b))
}
