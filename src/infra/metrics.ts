import fp from 'fastify-plugin'
import { Type } from '@sinclair/typebox'
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type pg from 'pg'
import { problems } from '#lib/api/schema.ts'
import { AUTH_PROBLEMS } from '#infra/auth/auth.ts'
import { withTimeout } from '#lib/async/timeout.ts'

/** The service's figures; docs/operations.md says what each means and when to worry. */
export interface Metrics {
  /** One registry an app: nothing is global, so two apps in one process do not share figures. */
  readonly registry: Registry
  readonly intakeEvents: Counter<'result' | 'source'>
  /** `outcome`: sent, retry or failed; `error_class` is empty for sent. */
  readonly deliveryAttempts: Counter<'outcome' | 'error_class'>
  /** Seconds, by outcome as above. */
  readonly attemptDuration: Histogram<'outcome'>
  /** Claims by workers, by kind: lane, replay, erasure. */
  readonly claims: Counter<'kind'>
  /** Outcomes that were not written because another worker had taken over meanwhile. */
  readonly fencedOutcomes: Counter
  /**
   * Messages of flows, by their author, template or AI; `fallback_reason` is empty unless a template stood in for the
   * AI.
   */
  readonly messages: Counter<'source' | 'fallback_reason'>
  /** Answers of the AI's API that were errors, by their status and their code there. */
  readonly aiErrors: Counter<'status' | 'code'>
  /** Flows that the service itself has paused, by why: failing, self_triggering. */
  readonly flowPauses: Counter<'reason'>
  readonly httpRequestDuration: Histogram<'method' | 'route' | 'status'>
}

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
  }
}

/** Scrapers come every 15 s or so; two of them, or an impatient one, share one look at the database. */
const SHARED_READ_CACHE_MS = 5_000
/** A scrape that waits longer is better off without the figure. */
const SHARED_READ_TIMEOUT_MS = 1_000
const ATTEMPT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const REQUEST_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/**
 * Counts, and GET /metrics in Prometheus' text format. It tells how much business a shop does, so it takes a
 * platform key; in open mode, which is loopback only, none.
 */
export default fp(
  async (app) => {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    app.decorate('metrics', createInstruments(registry))
    collectPools(registry, () => app.pools)

    app.get(
      '/metrics',
      {
        config: { access: { role: 'platform' }, rateLimit: false, operation: true },
        schema: {
          operationId: 'getMetrics',
          tags: ['operation'],
          summary: 'Metrics in the Prometheus text format',
          description: 'Counters, gauges and histograms of this process, for a scraper.',
          response: {
            200: {
              description: 'The figures of this process, and of the queue that all processes share',
              content: { 'text/plain': { schema: Type.String() } },
            },
            ...problems(...AUTH_PROBLEMS),
          },
        },
      },
      async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()),
    )
  },
  { name: 'metrics', dependencies: ['db', 'auth'] },
)

function createInstruments(registry: Registry): Metrics {
  const registers = [registry]
  return {
    registry,
    intakeEvents: new Counter({
      name: 'bcs_intake_events_total',
      help: 'Events that came in, by result (accepted, duplicate, rejected) and source',
      labelNames: ['result', 'source'],
      registers,
    }),
    deliveryAttempts: new Counter({
      name: 'bcs_delivery_attempts_total',
      help: 'Finished delivery attempts, by outcome (sent, retry, failed) and error class',
      labelNames: ['outcome', 'error_class'],
      registers,
    }),
    attemptDuration: new Histogram({
      name: 'bcs_delivery_attempt_duration_seconds',
      help: 'How long delivery attempts took, from connecting to the last byte',
      labelNames: ['outcome'],
      buckets: ATTEMPT_BUCKETS_S,
      registers,
    }),
    claims: new Counter({
      name: 'bcs_claims_total',
      help: 'Pieces of work that this process took, by kind',
      labelNames: ['kind'],
      registers,
    }),
    fencedOutcomes: new Counter({
      name: 'bcs_fenced_outcomes_total',
      help: 'Outcomes dropped because another worker held the work by then',
      registers,
    }),
    messages: new Counter({
      name: 'bcs_messages_total',
      help: 'Messages that flows composed, by source (template, ai) and why a template stood in for the AI',
      labelNames: ['source', 'fallback_reason'],
      registers,
    }),
    aiErrors: new Counter({
      name: 'bcs_ai_errors_total',
      help: "Errors that the AI's API answered, by status and code; a template stood in",
      labelNames: ['status', 'code'],
      registers,
    }),
    flowPauses: new Counter({
      name: 'bcs_flow_pauses_total',
      help: 'Flows that the service itself has paused, by why (failing, self_triggering)',
      labelNames: ['reason'],
      registers,
    }),
    httpRequestDuration: new Histogram({
      name: 'bcs_http_request_duration_seconds',
      help: 'How long requests took, by method, route and status',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_BUCKETS_S,
      registers,
    }),
  }
}

function collectPools(registry: Registry, pools: () => Record<'api' | 'worker', pg.Pool>): void {
  new Gauge({
    name: 'bcs_db_pool_connections',
    help: 'Database connections by pool and state; waiting counts callers without one',
    labelNames: ['pool', 'state'],
    registers: [registry],
    collect() {
      for (const [pool, { totalCount, idleCount, waitingCount }] of Object.entries(pools())) {
        this.set({ pool, state: 'total' }, totalCount)
        this.set({ pool, state: 'idle' }, idleCount)
        this.set({ pool, state: 'waiting' }, waitingCount)
      }
    },
  })
}

/**
 * Adds a figure that all processes share, read at most every 5 s: take the maximum over processes, not the sum. It is
 * absent while it cannot be read.
 */
export function addSharedGauge(
  registry: Registry,
  gauge: { name: string; help: string; read: () => Promise<number> },
): void {
  const read = shareReading(gauge.read)
  new Gauge({
    name: gauge.name,
    help: gauge.help,
    registers: [registry],
    async collect() {
      const value = await read()
      this.remove()
      if (value !== null) this.set(value)
    },
  })
}

/** Reads shared figures at most every 5 s, for all callers together; null while they cannot be read. */
export function shareReading<T>(read: () => Promise<T>): () => Promise<T | null> {
  let current: Promise<T | null> | null = null
  let until = 0
  return () => {
    if (current === null || Date.now() >= until) {
      until = Date.now() + SHARED_READ_CACHE_MS
      current = withTimeout(read(), SHARED_READ_TIMEOUT_MS).catch(() => null)
    }
    return current
  }
}
