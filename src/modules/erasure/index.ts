/**
 * Erasures: forgetting one customer's data in stored events, and in all that automations made of them. An erasure is
 * a durable job that walks the tenant's events by id and reads their bodies, then executions, the log of actions,
 * invocations and messages.
 *
 * What always holds:
 * - A completed erasure has seen every event that was acknowledged before it was asked for: the walk begins when
 *   the transactions that stand before it in the feed have ended. Later events are left alone.
 * - Each phase begins when the transactions that were open at the end of the one before have ended: their records of
 *   an event that is erased now are seen.
 * - An execution with the data is emptied with all that hangs on it, whatever its steps called the value. If it has not
 *   ended it is cancelled, reason `erased`, like a delivery that waits: it cannot go on without its data.
 * - The erased bodies of a batch and the cursor behind it are one transaction, and every write of a worker names
 *   its lease token.
 * - The value is nowhere in the clear: sealed while the job is open, then only its salted hash; never in the audit
 *   log, the answers or the log.
 * - An erased event keeps its id, type and source_id, so that sending it again is still a duplicate.
 */
import type { FastifyInstance } from 'fastify'
import type { Config } from '#config/config.ts'
import { runJobs, tellJobs } from '#infra/durable-jobs.ts'
import { erasureRoutes } from './routes.ts'
import { Erasure, ErasurePage, NewErasure } from './schemas.ts'
import { BATCH_SIZE, runErasureTurn } from './worker.ts'

export default async function erasureModule(
  app: FastifyInstance,
  { config }: { config: Config },
): Promise<void> {
  app.apiDocument.addTag('erasures', "Forgetting one customer's data")
  for (const schema of [NewErasure, Erasure, ErasurePage]) app.addSchema(schema)
  const { secretBox, signals } = app
  const onChange = tellJobs(app, 'erasures')
  await app.register(async (routes) => erasureRoutes(routes, { db: app.db, secretBox, signals, onChange }))

  const ctx = {
    db: app.workerDb,
    secretBox,
    leaseMs: config.delivery.leaseMs,
    batchSize: BATCH_SIZE,
    onCancelled: app.flowEngine.countCancelled,
    onChange,
  }
  runJobs(app, { table: 'erasures', turn: (signal) => runErasureTurn(ctx, signal) })
}
