/**
 * Replays: delivering to one plugin again what it has had, missed, or never was there for. A replay is a durable job
 * that walks the tenant's events by id. A recovery is one for all plugins of a tenant, or of all tenants: it gives
 * each plugin a replay, and sums up their results.
 *
 * What always holds:
 * - The deliveries of a batch and the cursor behind it are one transaction: a worker that goes on after a crash
 *   neither leaves out nor repeats an event.
 * - Every write of a worker names its lease token. One that lost its lease, or whose replay was cancelled, writes
 *   nothing.
 * - An event has one delivery to a plugin. Replaying it makes that one pending again; one that is waiting already is
 *   only made due.
 * - A recovery's replays and the cursor behind their plugins are one transaction, too; a plugin has one replay of it.
 * - The job and its dry run choose by the same code (selection.ts).
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { runJobs, tellJobs } from '#infra/durable-jobs.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { recoveryRoutes } from './recovery/routes.ts'
import {
  NewRecovery,
  RecoveredPlugin,
  RecoveredPluginPage,
  Recovery,
  RecoveryPage,
} from './recovery/schemas.ts'
import * as recovery from './recovery/worker.ts'
import { replayRoutes } from './routes.ts'
import { NewReplay, Replay, ReplayEstimate, ReplayPage } from './schemas.ts'
import { BATCH_SIZE, MAX_WAITING, runReplayTurn } from './worker.ts'

export default async function replayModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  app.apiDocument.addTag('replays', 'Delivering again, as durable jobs')
  const schemas = [
    ...[NewReplay, Replay, ReplayEstimate, ReplayPage],
    ...[NewRecovery, Recovery, RecoveryPage, RecoveredPlugin, RecoveredPluginPage],
  ]
  for (const schema of schemas) app.addSchema(schema)
  const [onReplay, onRecovery] = [tellJobs(app, 'replays'), tellJobs(app, 'recoveries', 'replays')]
  const routesCtx = { db: app.db, signals: app.signals }
  await app.register(async (routes) => replayRoutes(routes, { ...routesCtx, onChange: onReplay }))
  await app.register(async (routes) => recoveryRoutes(routes, { ...routesCtx, onChange: onRecovery }))

  const ctx = {
    db: app.workerDb,
    signals: app.signals,
    leaseMs: config.delivery.leaseMs,
    batchSize: BATCH_SIZE,
    maxWaiting: MAX_WAITING,
  }
  // Neither a recovery of thousands of plugins nor many small replays keep the others waiting.
  let turns = 0
  const turn = (signal: AbortSignal): Promise<PassResult> =>
    runReplayTurn({ ...ctx, onChange: onReplay }, signal, turns++ % 2 === 0 ? 'own' : 'recovery')
  runJobs(app, { table: 'replays', turn })
  const recoveryCtx = {
    ...ctx,
    onChange: onRecovery,
    log: app.log,
    batchSize: recovery.BATCH_SIZE,
    maxOpen: recovery.MAX_OPEN,
  }
  runJobs(app, { table: 'recoveries', turn: (signal) => recovery.runRecoveryTurn(recoveryCtx, signal) })
}
