/**
 * Executions as people look at them and act on them: lists, one with its steps, live, figures by day, cancelling,
 * retrying, and the switch that stops a tenant's automations. Running them is the flow engine's.
 *
 * What always holds:
 * - Secrets in what steps sent and got are redacted in every answer.
 * - A retry is an execution of its own: what it retries stays as it ended.
 * - Nothing here holds many rows locked: bulk changes are small transactions, and what they do not get done in time is a
 *   durable job.
 * - Open streams share one poller (stream/streams.ts), cost no memory beyond a buffer each, and end before the
 *   server closes and when their key does.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { runJobs, tellJobs } from '#infra/durable-jobs.ts'
import { bulkRoutes } from './bulk/routes.ts'
import { bulkChangeRoutes } from './bulk/job-routes.ts'
import {
  BulkCancelInput,
  BulkCancelResult,
  BulkChange,
  BulkChangePage,
  BulkRetryInput,
  BulkRetryResult,
} from './bulk/schemas.ts'
import { runBulkTurn } from './bulk/worker.ts'
import type { ExecutionContext } from './context.ts'
import { ExecutionStreams } from './stream/streams.ts'
import { HaltResult, HaltState, ResumeInput, ResumeResult } from './halt/schemas.ts'
import { executionRoutes } from './read/routes.ts'
import {
  Execution,
  ExecutionAttempt,
  HeldBack,
  ExecutionDetail,
  ExecutionPage,
  ExecutionStep,
  ExecutionStepStarted,
  RetryInput,
} from './read/schemas.ts'
import { setAsideRoutes } from './set-aside/routes.ts'
import { SetAsideEvent, SetAsidePage } from './set-aside/schemas.ts'
import { FlowStats } from './stats/schemas.ts'
import { streamRoutes } from './stream/routes.ts'

const SCHEMAS = [
  Execution,
  ExecutionPage,
  ExecutionAttempt,
  HeldBack,
  ExecutionStep,
  ExecutionStepStarted,
  ExecutionDetail,
  RetryInput,
  BulkCancelInput,
  BulkCancelResult,
  BulkRetryInput,
  BulkRetryResult,
  BulkChange,
  BulkChangePage,
  HaltState,
  HaltResult,
  ResumeInput,
  ResumeResult,
  FlowStats,
  SetAsideEvent,
  SetAsidePage,
]

export default async function executionModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  app.apiDocument.addTag('executions', 'Runs of flows: looking at them, cancelling, retrying, halting')
  for (const schema of SCHEMAS) app.addSchema(schema)
  const ctx: ExecutionContext = {
    db: app.db,
    signals: app.signals,
    flowEngine: app.flowEngine,
    onChange: tellJobs(app, 'bulk_changes'),
  }
  const streams = new ExecutionStreams({
    db: app.db,
    ground: app.identity.ground,
    signals: app.signals,
    log: app.log,
  })
  await app.register(async (routes) => executionRoutes(routes, ctx))
  await app.register(async (routes) => bulkRoutes(routes, ctx))
  await app.register(async (routes) => bulkChangeRoutes(routes, ctx))
  await app.register(async (routes) => setAsideRoutes(routes, ctx))
  await app.register(async (routes) => streamRoutes(routes, ctx, streams))
  const worker = { ...ctx, db: app.workerDb, leaseMs: config.delivery.leaseMs, log: app.log }
  runJobs(app, { table: 'bulk_changes', turn: (signal) => runBulkTurn(worker, signal) })
  app.signals.subscribe('executions_due', (tenantIds) => streams.look(tenantIds))
  app.signals.subscribe('step_started', (names) => streams.begin(names))
  app.signals.subscribe('key_changed', () => streams.checkKeys())
  app.signals.subscribe('session_changed', () => streams.checkKeys())
  app.addHook('preClose', () => streams.close())
}
