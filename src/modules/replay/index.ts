/**
 * Replays: delivering to one plugin again what it has had, missed, or never was there for. A replay is a durable
 * job that walks the tenant's events by id.
 *
 * What always holds:
 * - The deliveries of a batch and the cursor behind it are one transaction: whoever goes on after a crash neither
 *   leaves out nor repeats an event.
 * - Every write of a worker names its lease token. One that lost its lease, or whose replay was cancelled, writes
 *   nothing.
 * - An event has one delivery to a plugin. Replaying it makes that one pending again; what is waiting already is
 *   only made due.
 * - The job and its dry run choose by the same code (selection.ts).
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { runJobs } from '#infra/durable-jobs.ts'
import { replayRoutes } from './routes.ts'
import { NewReplay, Replay, ReplayEstimate, ReplayPage } from './schemas.ts'
import { BATCH_SIZE, MAX_WAITING, runReplayTurn } from './worker.ts'

export default async function replayModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  app.apiDocument.addTag('replays', 'Delivering again, as durable jobs')
  for (const schema of [NewReplay, Replay, ReplayEstimate, ReplayPage]) app.addSchema(schema)
  await app.register(async (routes) => replayRoutes(routes, { db: app.db, signals: app.signals }))

  const ctx = {
    db: app.workerDb,
    signals: app.signals,
    leaseMs: config.delivery.leaseMs,
    batchSize: BATCH_SIZE,
    maxWaiting: MAX_WAITING,
  }
  runJobs(app, { table: 'replays', turn: (signal) => runReplayTurn(ctx, signal) })
}
