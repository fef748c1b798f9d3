/**
 * Webhook delivery: every delivery row that intake wrote is attempted until it is sent or given up, and every
 * attempt is logged.
 *
 * What always holds:
 * - A delivery's outcome is written only by the worker that holds its plugin's lane (`delivery_lanes`): lease and
 *   fencing token stand in the statement's `where` (outcomes/repository.ts). A worker that lost its lane writes nothing.
 * - A delivery leaves `pending` and `retry` only by an outcome, by being given up (skip, delete, erase) or not at all.
 * - Every attempt of a delivery carries the event's id as `webhook-id` and the bytes decided at intake.
 * - No database connection is held during an attempt.
 *
 * Where is a delivery retried? `destinations/webhook.ts` says what an answer means, `outcomes/verdict.ts` decides,
 * `outcomes/repository.ts` writes when it is due, `due/reader.ts` finds it when it is.
 */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '#config/config.ts'
import { now } from '#lib/clock.ts'
import { applyEffect } from './health/effects.ts'
import { QueueLoops } from './health/queue-loops.ts'
import { watchQueues } from './health/queue-watch.ts'
import { runJobs, tellJobs } from '#infra/durable-jobs.ts'
import { bulkRetryRoutes } from './bulk-retry/routes.ts'
import {
  DeliveryRetry,
  DeliveryRetryEstimate,
  DeliveryRetryPage,
  NewDeliveryRetry,
} from './bulk-retry/schemas.ts'
import { BATCH_SIZE, MAX_WAITING, runBulkRetryTurn } from './bulk-retry/worker.ts'
import { deliveryRoutes } from './log/routes.ts'
import { Delivery, DeliveryAttempt, DeliveryDetail, DeliveryPage, ProcessedCounts } from './log/schemas.ts'
import { type DeliveryContext, findTarget, sendTest, type TestResult } from './log/service.ts'
import { webhookDocuments } from './openapi.ts'
import type { Destination } from './destinations/destination.ts'
import { type DeliveryTarget, TargetCache } from './destinations/targets.ts'
import { signedHeaders, WebhookDestination, type WebhookMessage } from './destinations/webhook.ts'
import { queueState } from './due/queue-figures-repository.ts'
import { mostOfOne, placesForPlugin } from './lanes/capacity.ts'
import { PluginLimits } from './limits/plugin-limits.ts'
import { addQueueGauges, addWaitingCallsGauge } from './metrics.ts'
import { DeliveryWorker } from './worker.ts'

export interface DeliveryService {
  /** The limits of what plugins are sent at once and how fast; whoever calls their actions asks them. */
  readonly limits: Pick<PluginLimits, 'beginCall'>
  /** `POST /api/plugins/{slug}/test`. @returns undefined if there is no such plugin @throws `secret_unreadable` */
  sendTest(tenantId: string, pluginId: string): Promise<TestResult | undefined>
  /** A plugin as a target of signed requests; undefined if it is not there, `unreadable` if its secrets do not open. */
  target(tenantId: string, pluginId: string): Promise<DeliveryTarget | 'unreadable' | undefined>
  signedHeaders(target: DeliveryTarget, message: WebhookMessage): Record<string, string>
  /** For tests and tools: a worker, not started; `now` replaces the database's clock. */
  createWorker(options: { tenantId: string | null; now?: () => Date }): DeliveryWorker
  /** For tests: one look at which queues are behind, which workers take once a minute. */
  watchQueues(options: { tenantId: string; now: Date }): Promise<void>
}

export type { DeliveryTarget } from './destinations/targets.ts'
export { oldestQueues, queueState } from './due/queue-figures-repository.ts'
export { isBusy } from './limits/plugin-limits.ts'
export type { Busy } from './limits/plugin-limit.ts'
export { secretUnreadable } from './errors.ts'

export { SIGNATURE_HEADERS } from './openapi.ts'

declare module 'fastify' {
  interface FastifyInstance {
    deliveries: DeliveryService
  }
}

export default fp(
  async (app: FastifyInstance, { config, shareMs }: { config: Config; shareMs: number }) => {
    const targets = new TargetCache(app.workerDb, app.secretBox, config.delivery, app.log)
    const limits = new PluginLimits(app.signals)
    app.signals.subscribe('plugin_used', (ids) => limits.heard(ids))
    app.signals.subscribe('plugin_changed', (ids) => limits.changed(ids))
    // Before those who wait are waited for themselves.
    app.addHook('preClose', (done) => {
      limits.close()
      done()
    })
    addWaitingCallsGauge(app.metrics.registry, () => limits.waitingCalls)
    const effects = {
      db: app.workerDb,
      events: app.events,
      signals: app.signals,
      changes: app.changes,
      disableAfterMs: config.delivery.disableAfterHours * 3_600_000,
    }
    const destinationOf = (target: DeliveryTarget): Destination => new WebhookDestination(app.egress, target)
    const createWorker: DeliveryService['createWorker'] = ({ tenantId, now }) =>
      new DeliveryWorker(
        {
          pool: app.pools.worker,
          secretBox: app.secretBox,
          targets,
          limits,
          destinationOf,
          metrics: app.metrics,
          statistics: app.statistics,
          log: app.log,
          origin: config.publicUrl,
          onOutcome: (tenantId) => app.changes.tell(tenantId, 'deliveries'),
          announceFree: (pluginId) => app.signals.publish('deliveries_due', [pluginId]),
          announceWorker: () => app.signals.publish('workers_changed', []),
          applyEffect: (lane, effect, cause) => applyEffect(effects, lane, effect, cause),
        },
        {
          leaseMs: config.delivery.leaseMs,
          pollMs: config.delivery.pollMs,
          shareMs,
          maxInFlight: config.delivery.maxInFlight,
          disableAfterMs: effects.disableAfterMs,
          tenantId,
          now: now ?? null,
        },
      )
    const ctx: DeliveryContext = {
      db: app.db,
      origin: config.publicUrl,
      targets,
      destinationOf,
      signals: app.signals,
      createWorker: (tenantId) => createWorker({ tenantId }),
    }
    app.apiDocument.addTag('deliveries', 'Events on their way to plugins, with every attempt')
    app.apiDocument.addWebhooks(webhookDocuments())
    app.decorate('deliveries', {
      target: (tenantId, pluginId) => findTarget(ctx, tenantId, pluginId),
      signedHeaders: (target, message) => signedHeaders(target, message, now()),
      sendTest: (tenantId, pluginId) => sendTest(ctx, tenantId, pluginId),
      limits,
      createWorker,
      watchQueues: (look) => watchQueues(effects, look),
    } satisfies DeliveryService)
    addQueueGauges(app.metrics.registry, () => queueState(app.pools.api))
    const schemas = [
      ...[Delivery, DeliveryAttempt, DeliveryDetail, DeliveryPage, ProcessedCounts],
      ...[NewDeliveryRetry, DeliveryRetry, DeliveryRetryEstimate, DeliveryRetryPage],
    ]
    for (const schema of schemas) app.addSchema(schema)
    const onBulkRetry = tellJobs(app, 'delivery_retries')
    await app.register(async (routes) => {
      deliveryRoutes(routes, ctx)
      bulkRetryRoutes(routes, { ...ctx, onChange: onBulkRetry })
    })
    const jobs = {
      db: app.workerDb,
      signals: app.signals,
      leaseMs: config.delivery.leaseMs,
      batchSize: BATCH_SIZE,
      maxWaiting: MAX_WAITING,
      log: app.log,
      onChange: onBulkRetry,
    }
    runJobs(app, { table: 'delivery_retries', turn: (signal) => runBulkRetryTurn(jobs, signal) })

    const worker = createWorker({ tenantId: null })
    app.background({
      name: 'deliveries',
      start: () => {
        app.signals.subscribe('deliveries_due', (ids) => worker.hint(ids))
        app.signals.subscribe('plugin_changed', (ids) => worker.pluginChanged(ids))
        app.signals.subscribe('workers_changed', () => worker.workersChanged())
        warnOfLowCapacity(config, app.log)
        worker.start()
      },
      stop: () => worker.stop(),
      probe: () => worker.standing,
      whenStuck: 'failed',
      queue: {
        what: 'Due deliveries',
        waitingSeconds: async () => (await queueState(app.pools.api)).unattendedSeconds,
      },
    })
    const queues = new QueueLoops({ pool: app.pools.worker, watch: effects, log: app.log })
    app.background({
      name: 'queues',
      start: () => queues.start(),
      stop: () => queues.stop(),
      probe: () => queues.standing,
      whenStuck: 'warning',
    })
  },
  {
    name: 'webhook-delivery',
    dependencies: [
      'db',
      'signals',
      'secrets',
      'egress',
      'metrics',
      'background',
      'events',
      'statistics',
      'changes',
    ],
  },
)

function warnOfLowCapacity({ delivery }: Config, log: FastifyBaseLogger): void {
  const { maxInFlight, maxInFlightCeiling } = delivery
  const low = lowCapacity(delivery)
  if (low === null) return
  const [slow, fast] = [mostOfOne(maxInFlight, 'slow'), mostOfOne(maxInFlight, 'proven')]
  log.warn({ max_in_flight: maxInFlight, ceiling: maxInFlightCeiling, slow, fast }, low)
}

/**
 * Says that a worker has too few places for what a plugin may ask for; null: it has enough. One worker at a time serves a
 * plugin: what it has no places for the plugin never gets.
 */
export function lowCapacity({
  maxInFlight,
  maxInFlightCeiling,
}: Pick<Config['delivery'], 'maxInFlight' | 'maxInFlightCeiling'>): string | null {
  const slow = mostOfOne(maxInFlight, 'slow')
  if (slow >= maxInFlightCeiling) return null
  return `MAX_IN_FLIGHT is too low for MAX_IN_FLIGHT_CEILING: a plugin whose answers take long gets ${slow} attempts at once; it takes ${placesForPlugin(maxInFlightCeiling)}, or a lower ceiling`
}
