import type { FastifyBaseLogger } from 'fastify'
import { failureText, isPassing } from '#db/errors.ts'
import { retryWhileLocked } from '#db/retry.ts'
import { finishJob, holdJob, releaseJob } from '#infra/job-repository.ts'
import { isProblem } from '#lib/api/problem.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { flowNewer } from '#modules/flow-engine/index.ts'
import { readFilter } from '../read/filter.ts'
import type { ExecutionContext } from '../context.ts'
import { advanceBulkChange, type BulkJob, claimBulkChange } from './job-repository.ts'
import { selectToCancel, selectToRetry } from './repository.ts'
import { CANCELLABLE } from './schemas.ts'
import { CANCEL_BATCH, cancelBatch, countRefused, RETRY_BATCH, retryBatch } from './service.ts'

export interface BulkWorkerContext extends ExecutionContext {
  /** A worker that stopped answering keeps a job for so long; each batch prolongs it. */
  leaseMs: number
  log: Pick<FastifyBaseLogger, 'error'>
}

/** Then the next job has its turn. */
const BATCHES_A_TURN = 20
/** Of what a shop may have of executions: it allows more once some have ended. */
const QUOTA = 'waiting_executions'
/** Between looks whether the shop may have more executions: each counts those that it has. */
const PAUSE_MS = 10_000

/**
 * Works on one bulk change for one turn. What passes by itself, and what a newer release published, is left to the lease:
 * the job goes on where it was. Any other error would come again, and ends the job as `failed`.
 */
export async function runBulkTurn(ctx: BulkWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimBulkChange(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  try {
    return await workOn(ctx, job, signal)
  } catch (error) {
    if (isPassing(error) || isProblem(error, flowNewer)) throw error
    ctx.log.error({ err: error, tenant_id: job.tenantId, job_id: job.id }, 'bulk change failed')
    await finishJob(ctx.db, 'bulk_changes', job, { status: 'failed', error: failureText(error) })
  } finally {
    ctx.onChange?.(job.tenantId)
  }
  return 'more'
}

async function workOn(ctx: BulkWorkerContext, job: BulkJob, signal?: AbortSignal): Promise<PassResult> {
  const batch = job.kind === 'cancel' ? cancelNext : retryNext
  for (let done = 0; done < BATCHES_A_TURN && signal?.aborted !== true; done++) {
    const result = await batch(ctx, job)
    ctx.onChange?.(job.tenantId)
    if (result === 'lost') return 'more'
    if (result === 'done') {
      await finishJob(ctx.db, 'bulk_changes', job, { status: 'completed', error: null })
      return 'more'
    }
    if (result === 'full') {
      await releaseJob(ctx.db, 'bulk_changes', job, PAUSE_MS)
      return { pauseMs: PAUSE_MS }
    }
  }
  await releaseJob(ctx.db, 'bulk_changes', job)
  return 'more'
}

/** `full`: the shop has as many executions as it may, and the rest waits for some of them to end. */
type BatchResult = 'more' | 'done' | 'lost' | 'full'

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
  const { reasons, failure } = await retryBatch(ctx, job.actor, tenantId, job.request, ids, QUOTA)
  const isFull = [...reasons.values()].includes(QUOTA)
  // What has started of a batch that broke off counts; from the first that waits on, the others are tried again.
  const end = ids.findIndex((id) => !reasons.has(id) || reasons.get(id) === QUOTA)
  const settled = end === -1 ? ids : ids.slice(0, end)
  const refused = new Map(Object.entries(job.refused))
  countRefused(
    refused,
    settled.map((id) => reasons.get(id) ?? null),
  )
  const retried = [...reasons.values()].filter((reason) => reason === null).length
  if (retried > 0) ctx.signals.publish('executions_due', [tenantId])
  job.refused = Object.fromEntries(refused)
  job.cursor = settled.at(-1) ?? job.cursor
  const isHeld = await ctx.db.transaction().execute(async (trx) => {
    if (!(await holdJob(trx, 'bulk_changes', job))) return false
    await advanceBulkChange(trx, job, retried, ctx.leaseMs)
    return true
  })
  if (failure !== null) throw failure.error
  if (!isHeld) return 'lost'
  return isFull ? 'full' : 'more'
}
