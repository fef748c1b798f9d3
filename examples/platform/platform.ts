import { createHash, timingSafeEqual } from 'node:crypto'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyError, type FastifyRequest } from 'fastify'
import { bookingRoutes } from './bookings.ts'
import { type Shop } from './change.ts'
import { customerRoutes } from './customers.ts'
import { openDatabase } from './database.ts'
import { PlatformError } from './errors.ts'
import { addPrintedLead, leadRoutes } from './leads.ts'
import { messageRoutes } from './messages.ts'
import { notificationRoutes } from './notifications.ts'
import { orderRoutes } from './orders.ts'
import { type Intake, Outbox } from './outbox.ts'
import { productRoutes } from './products.ts'
import type { App } from './routes.ts'
import { taskRoutes } from './tasks.ts'

export interface PlatformOptions {
  /** What callers have to show as a bearer token. */
  token: string
  /** Takes requests that show no token at all, and has the records that the platform's documents ask for. */
  isOpen?: boolean
  /** The tenant of requests without X-Tenant-Id. */
  tenantId: string
  /** The automation service; without it events wait in the outbox until `sendEventsTo`. */
  intakeUrl?: string | null
  /** A platform key for it; not needed while it is in open mode. */
  intakeKey?: string | null
  /** A SQLite file; in memory by default. */
  databaseFile?: string
  host?: string
  /** Any free one by default. */
  port?: number
  logLevel?: string
}

export interface Platform {
  url: string
  app: App
  sendEventsTo(intake: Intake): void
  close(): Promise<void>
}

declare module 'fastify' {
  interface FastifyRequest {
    tenantId: string
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** A small commerce platform: what the automation service calls, and what tells it of what happened. */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const app = Fastify({
    logger: { level: options.logLevel ?? 'silent' },
    // What has the wrong type or no place is refused, not bent or dropped.
    ajv: {
      customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true, allowUnionTypes: true },
    },
    forceCloseConnections: true,
  }).withTypeProvider<TypeBoxTypeProvider>() as App
  const db = openDatabase(options.databaseFile ?? ':memory:')
  const { intakeUrl = null, intakeKey = null } = options
  const intake = intakeUrl === null ? null : { url: intakeUrl, key: intakeKey }
  const outbox = new Outbox(db, intake, app.log)
  if (options.isOpen) addPrintedLead(db, options.tenantId)

  app.decorateRequest('tenantId', '')
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.url === '/health') return
    if (!options.isOpen || request.headers.authorization !== undefined) checkToken(request, options.token)
    request.tenantId = tenantOf(request, options.tenantId)
  })
  // Who updates something may send its id in the body, too: the path says it already.
  app.addHook('preValidation', async ({ params, body }) => {
    const { id } = params as { id?: string }
    if (id === undefined || typeof body !== 'object' || body === null) return
    if ('id' in body && String(body.id) === id) delete body.id
  })
  answerErrors(app)
  registerRoutes(app, { db, outbox })
  app.addHook('onClose', async () => {
    await outbox.close()
    db.close()
  })

  const url = await app.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 })
  outbox.wake()
  return {
    url,
    app,
    sendEventsTo: (target) => outbox.sendTo(target),
    close: () => app.close(),
  }
}

function registerRoutes(app: App, shop: Shop): void {
  app.get('/health', async () => ({ status: 'ok' }))
  app.get('/api/outbox', async ({ tenantId }) => ({
    data: shop.outbox
      .entries(tenantId)
      .map(({ id, event, happened_at, refusal }) => ({ id, event, happened_at, refusal })),
  }))
  productRoutes(app, shop)
  customerRoutes(app, shop)
  orderRoutes(app, shop)
  notificationRoutes(app, shop)
  taskRoutes(app, shop)
  leadRoutes(app, shop)
  bookingRoutes(app, shop)
  messageRoutes(app, shop)
}

function checkToken({ headers }: FastifyRequest, token: string): void {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  if (!timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`))) {
    throw new PlatformError(401, 'unauthorized', 'Send the platform token as a bearer token.')
  }
}

function tenantOf({ headers }: FastifyRequest, fallback: string): string {
  const named = headers['x-tenant-id']
  if (named === undefined) return fallback
  if (typeof named === 'string' && UUID.test(named)) return named.toLowerCase()
  throw new PlatformError(400, 'invalid_tenant', 'X-Tenant-Id must be a UUID.')
}

function answerErrors(app: App): void {
  app.setErrorHandler<FastifyError | PlatformError>((error, request, reply) => {
    if (error instanceof PlatformError) {
      const { status, code, message } = error
      return reply.code(status).send({ error: { code, message } })
    }
    if (error.validation !== undefined) {
      const fields = error.validation.map(({ instancePath, message = '', params }) => {
        const extra = params['additionalProperty']
        return `${instancePath || '/'} ${message}${typeof extra === 'string' ? `: ${extra}` : ''}`
      })
      return reply.code(400).send({ error: { code: 'invalid_request', message: fields.join('; ') } })
    }
    const status = error.statusCode ?? 500
    if (status < 500) return reply.code(status).send({ error: { code: error.code, message: error.message } })
    request.log.error({ err: error }, 'could not answer')
    return reply.code(500).send({ error: { code: 'internal', message: 'Something went wrong here.' } })
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ error: { code: 'not_found', message: 'There is no such route.' } }),
  )
}
