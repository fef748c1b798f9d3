import { retryWhileLocked } from '#db/retry.ts'
import { finishJob, holdJob, releaseJob } from '#infra/job-repository.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { readFilter } from '../read/filter.ts'
import type { ExecutionContext } from '../context.ts'
import { advanceBulkChange, type BulkJob, claimBulkChange } from './job-repository.ts'
import { selectToCancel, selectToRetry } from './repository.ts'
import { CANCELLABLE } from './schemas.ts'
import { CANCEL_BATCH, cancelBatch, countRefused, RETRY_BATCH, retryBatch } from './service.ts'

export interface BulkWorkerContext extends ExecutionContext {
  /** How long a worker that stopped answering keeps a job; each batch prolongs it. */
  leaseMs: number
}

/** Then the next job has its turn. */
const BATCHES_A_TURN = 20

/** Works on one bulk change for one turn. */
export async function runBulkTurn(ctx: BulkWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimBulkChange(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  const batch = job.kind === 'cancel' ? cancelNext : retryNext
  for (let done = 0; done < BATCHES_A_TURN && signal?.aborted !== true; done++) {
    const result = await batch(ctx, job)
    if (result === 'lost') return 'more'
    if (result === 'done') {
      await finishJob(ctx.db, 'bulk_changes', job, { status: 'completed', error: null })
      return 'more'
    }
  }
  await releaseJob(ctx.db, 'bulk_changes', job)
  return 'more'
}

type BatchResult = 'more' | 'done' | 'lost'

/** Those that were there when it was asked for: what has come since is no business of it. */
function filterOf(job: BulkJob) {
  const usual = job.kind === 'cancel' ? CANCELLABLE : (['failed'] as const)
  const filter = readFilter(job.request, job.request.status ?? usual, '')
  const last = job.createdAt
  return { ...filter, until: filter.until === null || filter.until > last ? last : filter.until }
}

async function cancelNext(ctx: BulkWorkerContext, job: BulkJob): Promise<BatchResult> {
  if (job.kind !== 'cancel') return 'lost'
  const ids = await selectToCancel(ctx.db, job.tenantId, filterOf(job), CANCEL_BATCH)
  if (ids.length === 0) return 'done'
  const isHeld = await retryWhileLocked(() =>
    ctx.db.transaction().execute(async (trx) => {
      if (!(await holdJob(trx, 'bulk_changes', job))) return false
      const count = await cancelBatch(ctx, trx, job.actor, job.tenantId, { ids, detail: job.request })
      await advanceBulkChange(trx, job, count, ctx.leaseMs)
      return true
    }),
  )
  return isHeld ? 'more' : 'lost'
}

/** Each is retried once, so that a batch that is done again after a crash repeats nothing. */
async function retryNext(ctx: BulkWorkerContext, job: BulkJob): Promise<BatchResult> {
  if (job.kind !== 'retry') return 'lost'
  const { tenantId, cursor: after } = job
  const ids = await selectToRetry(ctx.db, tenantId, filterOf(job), { after, limit: RETRY_BATCH })
  if (ids.length === 0) return 'done'
  const reasons = await retryBatch(ctx, job.actor, tenantId, job.request, ids)
  const refused = new Map(Object.entries(job.refused))
  const retried = countRefused(refused, reasons)
  job.refused = Object.fromEntries(refused)
  job.cursor = ids.at(-1) ?? job.cursor
  const isHeld = await ctx.db.transaction().execute(async (trx) => {
    if (!(await holdJob(trx, 'bulk_changes', job))) return false
    await advanceBulkChange(trx, job, retried, ctx.leaseMs)
    return true
  })
  if (retried > 0) ctx.signals.publish('executions_due', [tenantId])
  return isHeld ? 'more' : 'lost'
}
