import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import { isPassing } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { holdJob, releaseJob } from '#infra/job-repository.ts'
import type { Signals } from '#infra/signals.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import {
  advanceRecovery,
  claimRecovery,
  countOpenReplays,
  endRecovery,
  insertReplays,
  readPlugins,
  type RecoveryJob,
  sumReplays,
} from './job-repository.ts'
import { cancelReplaysOf } from './repository.ts'

export interface RecoveryWorkerContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  log: Pick<FastifyBaseLogger, 'error'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
  /** The time for which a worker that stopped answering keeps a recovery; each batch prolongs it. */
  leaseMs: number
  /** Replays that are made in one transaction. */
  batchSize: number
  /** A recovery's replays that may be open at once: taking the next of them is to cost the same however many there will be. */
  maxOpen: number
}

export const BATCH_SIZE = 250
export const MAX_OPEN = 1_000
/** Between two looks at how its replays get on. */
const PAUSE_MS = 1_000

/**
 * Works on one recovery for one turn: gives plugins their replays, and sums up what those came to. One that cannot go on
 * ends as failed.
 */
export async function runRecoveryTurn(ctx: RecoveryWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimRecovery(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  try {
    return await workOn(ctx, job, signal)
  } catch (error) {
    if (isPassing(error)) throw error
    ctx.log.error({ err: error, recovery_id: job.id }, 'recovery failed')
    await fail(ctx, job)
    ctx.onChange?.(job.tenantId)
    return 'more'
  }
}

async function workOn(
  ctx: RecoveryWorkerContext,
  job: RecoveryJob,
  signal?: AbortSignal,
): Promise<PassResult> {
  while (signal?.aborted !== true) {
    const result = await runRecoveryBatch(ctx, job)
    ctx.onChange?.(job.tenantId)
    if (result === 'ended') return 'more'
    if (result === 'more') continue
    await releaseJob(ctx.db, 'recoveries', job, PAUSE_MS)
    return { pauseMs: PAUSE_MS }
  }
  await releaseJob(ctx.db, 'recoveries', job)
  return 'more'
}

async function fail(ctx: RecoveryWorkerContext, job: RecoveryJob): Promise<void> {
  const place = job.cursor === null ? 'the first plugins' : `the plugins after ${job.cursor}`
  const error = `It could not go on with ${place}. What its replays have queued stays queued.`
  await ctx.db.transaction().execute(async (trx) => {
    if (!(await holdJob(trx, 'recoveries', job))) return
    await cancelReplaysOf(trx, job.tenantId, job.id, 'Its recovery has failed.')
    await endRecovery(trx, job, { status: 'failed', error })
  })
}

/**
 * One batch: the replays of the next plugins, and the cursor behind them, in one transaction.
 * @returns `wait`: its replays have to get on first; `ended`: it is finished, cancelled or somebody else's
 */
export async function runRecoveryBatch(
  ctx: RecoveryWorkerContext,
  job: RecoveryJob,
): Promise<'more' | 'wait' | 'ended'> {
  const done = await ctx.db.transaction().execute(async (trx) => {
    if (!(await holdJob(trx, 'recoveries', job))) return null
    const openBefore = await countOpenReplays(trx, job)
    if (job.spread && openBefore === 0) {
      await endRecovery(trx, job, { status: 'completed', error: null })
      return null
    }
    const limit = job.spread ? 0 : Math.min(ctx.batchSize, ctx.maxOpen - openBefore)
    const made = limit > 0 ? await readPlugins(trx, job, limit) : []
    if (made.length > 0) await insertReplays(trx, job, made)
    const open = openBefore + made.length
    const spread = job.spread || (limit > 0 && made.length < limit)
    const waits = open > 0 && (spread || open >= ctx.maxOpen)
    const progress = {
      cursor: made.at(-1)?.id ?? job.cursor,
      spread,
      plugins: job.plugins + made.length,
      open,
      // The turn ends here.
      sums: waits ? await sumReplays(trx, job) : null,
    }
    await advanceRecovery(trx, job, progress, ctx.leaseMs)
    return { ...progress, made: made.length, waits }
  })
  if (done === null) return 'ended'
  const { cursor, spread, plugins } = done
  Object.assign(job, { cursor, spread, plugins })
  if (done.made > 0) ctx.signals.publish('jobs_due', [job.id])
  return done.waits ? 'wait' : 'more'
}
