import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { holdJob, releaseJob } from '#infra/job-repository.ts'
import type { Signals } from '#infra/signals.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import {
  advanceRecovery,
  claimRecovery,
  completeRecovery,
  countReplays,
  insertReplays,
  readPlugins,
  type RecoveryJob,
} from './job-repository.ts'

export interface RecoveryWorkerContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** How long a worker that stopped answering keeps a recovery; each batch prolongs it. */
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

/** Works on one recovery for one turn: gives plugins their replays, and sums up what those came to. */
export async function runRecoveryTurn(ctx: RecoveryWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimRecovery(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  while (signal?.aborted !== true) {
    const result = await runRecoveryBatch(ctx, job)
    if (result === 'ended') return 'more'
    if (result === 'more') continue
    await releaseJob(ctx.db, 'recoveries', job, PAUSE_MS)
    return 'more'
  }
  await releaseJob(ctx.db, 'recoveries', job)
  return 'more'
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
    const counts = await countReplays(trx, job)
    if (job.spread && counts.plugins_open === 0) {
      await completeRecovery(trx, job, counts)
      return null
    }
    const limit = job.spread ? 0 : Math.min(ctx.batchSize, ctx.maxOpen - counts.plugins_open)
    const plugins = limit > 0 ? await readPlugins(trx, job, limit) : []
    if (plugins.length > 0) await insertReplays(trx, job, plugins)
    counts.plugins += plugins.length
    counts.plugins_open += plugins.length
    const spread = job.spread || (limit > 0 && plugins.length < limit)
    const cursor = plugins.at(-1)?.id ?? job.cursor
    await advanceRecovery(trx, job, { counts, cursor, spread }, ctx.leaseMs)
    return { made: plugins.length, open: counts.plugins_open, cursor, spread }
  })
  if (done === null) return 'ended'
  job.cursor = done.cursor
  job.spread = done.spread
  if (done.made > 0) ctx.signals.publish('jobs_due', [job.id])
  const mayGoOn = !done.spread && done.open < ctx.maxOpen
  return mayGoOn || done.open === 0 ? 'more' : 'wait'
}
