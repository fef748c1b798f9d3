import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import rateLimit from '@fastify/rate-limit'
import { type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Config } from '#config/config.ts'
import auth from '#infra/auth/auth.ts'
import background from '#infra/background.ts'
import { answerClientError } from '#infra/http/client-error.ts'
import db, { type DatabaseTimeouts } from '#infra/db.ts'
import { shareBodies } from '#infra/http/body-share.ts'
import { callerOf } from '#infra/http/caller.ts'
import cors from '#infra/http/cors.ts'
import edge, { buildSerializer, buildValidator } from '#infra/http/edge.ts'
import egress, { type EgressOptions } from '#infra/egress/index.ts'
import health from '#infra/health.ts'
import changes from '#infra/changes.ts'
import clock from '#infra/clock.ts'
import openWriters from '#infra/open-writers.ts'
import webConsole from '#infra/http/console.ts'
import connectionLimit from '#infra/http/connection-limit.ts'
import { shareConnections } from '#infra/http/connection-share.ts'
import loadShedding, { shedHeavy } from '#infra/http/load-shedding.ts'
import metrics from '#infra/metrics.ts'
import openapi from '#infra/http/openapi.ts'
import problemPage from '#infra/http/problem-page.ts'
import problems, { rateLimited, routeNotFound, sendProblem, toProblem } from '#infra/http/problems.ts'
import quotas from '#infra/quotas.ts'
import requestLog from '#infra/http/request-log.ts'
import sealed from '#infra/sealed/check.ts'
import secrets from '#infra/secrets.ts'
import signals from '#infra/signals.ts'
import statistics from '#infra/statistics/index.ts'
import { placesForOne } from '#lib/async/share.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import auditModule from '#modules/audit/index.ts'
import operationModule from '#modules/operation/index.ts'
import searchModule from '#modules/search/index.ts'
import automationModule from '#modules/automation/index.ts'
import capabilityModule from '#modules/capability/index.ts'
import connectionModule from '#modules/connection/index.ts'
import dispatcherModule from '#modules/dispatcher/index.ts'
import erasureModule from '#modules/erasure/index.ts'
import eventModule from '#modules/event/index.ts'
import executionModule from '#modules/execution/index.ts'
import flowEngineModule from '#modules/flow-engine/index.ts'
import flowModule from '#modules/flow/index.ts'
import flowTemplateModule from '#modules/flow-template/index.ts'
import flowTriggerModule from '#modules/flow-trigger/index.ts'
import keyModule from '#modules/key/index.ts'
import liveModule from '#modules/live/index.ts'
import messageModule from '#modules/message/index.ts'
import platformModule from '#modules/platform/index.ts'
import pluginModule from '#modules/plugin/index.ts'
import portalModule from '#modules/portal/index.ts'
import registryModule from '#modules/registry/index.ts'
import replayModule from '#modules/replay/index.ts'
import retentionModule from '#modules/retention/index.ts'
import sessionModule from '#modules/session/index.ts'
import statsModule from '#modules/stats/index.ts'
import tenantModule from '#modules/tenant/index.ts'
import variableModule from '#modules/variable/index.ts'
import webhookDeliveryModule from '#modules/webhook-delivery/index.ts'

export interface AppDeps {
  logger: FastifyBaseLogger
  databaseUrl: string
  secretBox: SecretBox
  egress: EgressOptions
  /** Requests without a key work for this tenant; null: keys are needed. */
  openTenantId: string | null
  /** Other limits than the usual, for tests that cannot wait for those, or whose machine does not keep to them. */
  limits?: Partial<AppLimits>
}

export interface AppLimits {
  /** The whole request must have arrived by then, however it drips. */
  requestTimeoutMs: number
  /** Time between two looks at the connections for that. */
  timeoutCheckMs: number
  /** Requests are refused while the event loop is as late as this; 0: never. Default: that of load shedding. */
  maxEventLoopDelayMs?: number | undefined
  database?: DatabaseTimeouts | undefined
  /** From one look at who shares the lanes of deliveries to the next. */
  shareMs: number
}

export type App = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** 1 MiB; POST /api/events has 8 MiB of its own for batches. */
const BODY_LIMIT = 1024 * 1024
const LIMITS: AppLimits = { requestTimeoutMs: 30_000, timeoutCheckMs: 5_000, shareMs: 4_000 }
/** Where calls other than deliveries need more connections to one origin than those do. */
const OTHER_CONNECTIONS_PER_ORIGIN = 256
const KEEP_ALIVE_TIMEOUT_MS = 72_000
/** The order in which a reader of the OpenAPI document meets what the modules declare. */
const DOCUMENT_ORDER = {
  tags: [
    ...['plugins', 'deliveries', 'events', 'replays', 'erasures', 'actions', 'capabilities', 'flows'],
    ...['connections', 'variables'],
    ...[
      'automations',
      'messages',
      'executions',
      'keys',
      'sessions',
      'audit',
      'search',
      'statistics',
      'tenant',
      'operation',
    ],
  ],
  webhooks: ['delivery', 'action'],
}
const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/

/** Builds the service and registers every module, in order; never listens. */
export async function buildApp(config: Config, deps: AppDeps): Promise<App> {
  const limits = { ...LIMITS, ...deps.limits }
  const app = Fastify({
    loggerInstance: deps.logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: limits.requestTimeoutMs,
    http: { headersTimeout: limits.requestTimeoutMs, connectionsCheckingInterval: limits.timeoutCheckMs },
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // What comes in over open connections while closing is still answered, with connection: close.
    return503OnClosing: false,
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && REQUEST_ID.test(given) ? given : crypto.randomUUID()
    },
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => void sendProblem(reply, toProblem(error), request.id),
    routerOptions: { maxParamLength: 256, ignoreTrailingSlash: false },
    schemaController: {
      compilersFactory: {
        buildValidator: buildValidator as never,
        buildSerializer: buildSerializer as never,
      },
    },
  }).withTypeProvider<TypeBoxTypeProvider>()

  await app.register(problems, { home: config.console.isOn ? '/console' : '/docs' })
  await app.register(edge)
  if (config.corsOrigins.length > 0) {
    await app.register(cors, { origins: config.corsOrigins })
  }
  await app.register(loadShedding, { maxEventLoopDelayMs: limits.maxEventLoopDelayMs })
  await app.register(openapi, { order: DOCUMENT_ORDER })
  await app.register(problemPage)
  await app.register(db, {
    databaseUrl: deps.databaseUrl,
    connections: config.connections,
    timeouts: limits.database,
  })
  await app.register(signals, { databaseUrl: deps.databaseUrl })
  await app.register(statistics)
  await app.register(changes)
  await app.register(quotas)
  await app.register(secrets, { secretBox: deps.secretBox })
  await app.register(sealed)
  const own = {
    publicUrl: config.publicUrl,
    listening: () => app.addresses().filter((each) => typeof each !== 'string'),
  }
  // Deliveries have places of their own: one that has one is not to wait for a connection, within its deadline.
  const maxConnectionsPerOrigin = Math.max(
    OTHER_CONNECTIONS_PER_ORIGIN,
    placesForOne(config.delivery.maxInFlight),
  )
  await app.register(egress, { egress: { ...deps.egress, own, maxConnectionsPerOrigin } })
  if (!config.roles.api) serveOperationOnly(app)
  const { openTenantId: tenantId } = deps
  await app.register(auth, {
    open:
      tenantId === null
        ? null
        : {
            tenantId,
            tenants: config.openTenants,
            origins: config.corsOrigins,
            publicUrl: config.publicUrl,
          },
    platformKey: config.platformKey,
    publicUrl: config.publicUrl,
  })
  shedHeavy(app, callerOf)
  if (config.rateLimitPerMinute > 0) {
    await app.register(rateLimit, {
      max: config.rateLimitPerMinute,
      timeWindow: 60_000,
      // Behind auth: what failed there is counted there, by address.
      keyGenerator: (request) => callerOf(request),
      errorResponseBuilder: () => rateLimited(),
    })
  }
  shareConnections(app, {
    partyOf: callerOf,
    connections: config.connections.api,
    waitMs: limits.database?.connectMs,
  })
  shareBodies(app, { partyOf: callerOf })
  await app.register(health)
  await app.register(metrics)
  await app.register(openWriters)
  await app.register(connectionLimit, { openFiles: config.openFiles })
  await app.register(background, {
    runs: config.roles.worker,
    stuckAfterMs: config.background.stuckAfterMs,
  })
  await app.register(clock)
  await app.register(requestLog)
  if (config.console.isOn) await app.register(webConsole, config.console)

  await app.register(platformModule, { config })
  await app.register(tenantModule)
  await app.register(statsModule)
  await app.register(keyModule)
  await app.register(sessionModule, { config })
  await app.register(portalModule, { config })
  await app.register(auditModule)
  await app.register(searchModule)
  await app.register(operationModule)
  await app.register(eventModule)
  await app.register(webhookDeliveryModule, { config, shareMs: limits.shareMs })
  await app.register(pluginModule, { config })
  await app.register(registryModule)
  await app.register(capabilityModule)
  await app.register(dispatcherModule, { config })
  await app.register(messageModule, { config })
  await app.register(connectionModule)
  await app.register(variableModule)
  await app.register(flowEngineModule, { config })
  await app.register(flowTriggerModule, { config })
  await app.register(flowModule)
  await app.register(executionModule, { config })
  await app.register(flowTemplateModule)
  await app.register(automationModule)
  await app.register(replayModule, { config })
  await app.register(erasureModule, { config })
  await app.register(liveModule)
  await app.register(retentionModule, { config })
  return app
}

/** A process that is only a worker answers health checks and scrapes, and nothing else. */
function serveOperationOnly(app: { addHook: FastifyInstance['addHook'] }): void {
  app.addHook('onRequest', async (request) => {
    if (request.routeOptions.config.operation !== true) throw routeNotFound()
  })
}
