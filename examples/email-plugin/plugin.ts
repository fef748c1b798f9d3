import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import { manifest } from './capabilities.ts'
import type { PluginConfig } from './config.ts'
import { Handled } from './handled.ts'
import { createMailer, type Mailer, MailRefused } from './mailer.ts'
import { recipientOf } from './recipient.ts'
import { register } from './registration.ts'
import { requireSignature } from './signed.ts'

export interface EmailPlugin {
  url: string
  /** Settles once the service knows the plugin and its actions, or refuses them. */
  registered: Promise<void>
  close(): Promise<void>
}

/** One event, as it is delivered to `/webhooks`. */
const Delivery = Type.Object({
  event: Type.String(),
  tenant_id: Type.String(),
  timestamp: Type.String(),
  data: Type.Record(Type.String(), Type.Unknown()),
})

/** One action, as the dispatcher asks for it. */
const WelcomeCall = Type.Object({
  tenant_id: Type.String(),
  payload: Type.Object({
    to: Type.Optional(Type.String({ format: 'email' })),
    name: Type.Optional(Type.String()),
    template: Type.Optional(Type.String()),
    variables: Type.Optional(Type.Object({ customer_name: Type.Optional(Type.String()) })),
  }),
  context: Type.Optional(
    Type.Object({ trigger: Type.Optional(Type.Object({ data: Type.Optional(Type.Unknown()) })) }),
  ),
})

const WebhookHeaders = Type.Object({ 'webhook-id': Type.String() })
const ActionHeaders = Type.Object({ 'idempotency-key': Type.String({ minLength: 1 }) })

/** Starts the server, and registers the plugin with the automation service meanwhile. */
export async function startEmailPlugin(
  config: PluginConfig,
  logger?: FastifyBaseLogger,
): Promise<EmailPlugin> {
  const app: FastifyInstance = Fastify({
    ...(logger === undefined ? { logger: { level: config.logLevel } } : { loggerInstance: logger }),
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    forceCloseConnections: 'idle',
  })
  const handled = new Handled(config.databaseFile)
  const mailer = createMailer(config)
  const closing = new AbortController()

  app.get('/health', async () => ({ status: 'ok' }))
  app.get('/api/capabilities', async () => manifest(config.slug))
  await app.register(async (signed) => {
    await requireSignature(signed, config.webhookSecret)
    webhookRoute(signed, handled)
    actionRoute(signed, handled, mailer)
  })
  app.addHook('onClose', async () => {
    mailer.close()
    handled.close()
  })

  const url = await app.listen({ host: config.host, port: config.port })
  const registered = register(config, config.publicUrl ?? url, app.log, closing.signal)
  registered.catch((error: unknown) => {
    if (!closing.signal.aborted) app.log.error({ err: error }, 'could not register')
  })
  return {
    url,
    registered,
    close: async () => {
      closing.abort()
      await app.close()
    },
  }
}

/** Events come here. Answer quickly; what takes long belongs into a queue of your own. */
function webhookRoute(app: FastifyInstance, handled: Handled): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .post('/webhooks', { schema: { headers: WebhookHeaders, body: Delivery } }, async (request, reply) => {
      const { event, data } = request.body
      await handled.once(`delivery ${request.headers['webhook-id']}`, async () => {
        if (event === 'customer.created') {
          request.log.info({ customer: data['customer_id'], email: data['email'] }, 'a new customer')
        }
        return null
      })
      return reply.code(204).send()
    })
}

function actionRoute(app: FastifyInstance, handled: Handled, mailer: Mailer): void {
  app
    .withTypeProvider<TypeBoxTypeProvider>()
    .post(
      '/actions/send-welcome-email',
      { schema: { headers: ActionHeaders, body: WelcomeCall } },
      async (request, reply) => {
        const { tenant_id, payload, context } = request.body
        const to = recipientOf(payload.to, context)
        if (to === null) return reply.code(422).send({ error: 'Say by "to" whom to write to.' })
        // Keys are unique within a tenant.
        const key = `${tenant_id} ${request.headers['idempotency-key']}`
        try {
          return await handled.once(`action ${key}`, () => mailer.sendWelcome({ ...payload, to }, key))
        } catch (error) {
          if (error instanceof MailRefused) return reply.code(422).send({ error: error.message })
          request.log.error({ err: error }, 'the mail server is away')
          return reply.code(503).header('retry-after', '1').send({ error: 'The mail server is away.' })
        }
      },
    )
}
