import type { FastifyBaseLogger } from 'fastify'
import type { Kysely } from 'kysely'
import { failureText, isPassing } from '#db/errors.ts'
import { retryWhileLocked } from '#db/retry.ts'
import type { DB } from '#db/schema.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { finishJob, holdJob, releaseJob } from '#infra/job-repository.ts'
import type { Signals } from '#infra/signals.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { selectDeliveryIds } from '../log/log-repository.ts'
import {
  advanceBulkRetry,
  type BulkRetryJob,
  claimBulkRetry,
  countWaiting,
  queueThese,
  selectActivePlugins,
} from './repository.ts'
import { filterOf } from './service.ts'

export interface BulkRetryWorkerContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** A worker that stopped answering keeps a job for so long; each batch prolongs it. */
  leaseMs: number
  /** Deliveries whose rows are locked at a time. */
  batchSize: number
  /** A job pauses while an active plugin that it comes to has so many deliveries due. */
  maxWaiting: number
  log: Pick<FastifyBaseLogger, 'error'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

export const BATCH_SIZE = 500
/** As many as replays leave a plugin. */
export const MAX_WAITING = 50_000
const PAUSE_MS = 5_000
/** Then the next job has its turn. */
const BATCHES_A_TURN = 50

/**
 * Works on one bulk retry for one turn. What passes by itself is left to the lease: the job goes on where it was. Any other
 * error would come again, and ends the job as `failed`.
 */
export async function runBulkRetryTurn(
  ctx: BulkRetryWorkerContext,
  signal?: AbortSignal,
): Promise<PassResult> {
  const job = await claimBulkRetry(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  try {
    return await workOn(ctx, job, signal)
  } catch (error) {
    if (isPassing(error)) throw error
    ctx.log.error({ err: error, tenant_id: job.tenantId, job_id: job.id }, 'bulk retry of deliveries failed')
    await finishJob(ctx.db, 'delivery_retries', job, { status: 'failed', error: failureText(error) })
    return 'more'
  } finally {
    ctx.onChange?.(job.tenantId)
  }
}

async function workOn(
  ctx: BulkRetryWorkerContext,
  job: BulkRetryJob,
  signal?: AbortSignal,
): Promise<PassResult> {
  const room = new Room(ctx, job.tenantId)
  for (let done = 0; done < BATCHES_A_TURN && signal?.aborted !== true; done++) {
    const result = await retryNext(ctx, job, room)
    ctx.onChange?.(job.tenantId)
    if (result === 'more') continue
    if (result === 'full') {
      await releaseJob(ctx.db, 'delivery_retries', job, PAUSE_MS)
      return { pauseMs: PAUSE_MS }
    }
    if (result === 'done') {
      await finishJob(ctx.db, 'delivery_retries', job, { status: 'completed', error: null })
    }
    return 'more'
  }
  await releaseJob(ctx.db, 'delivery_retries', job)
  return 'more'
}

/** Number of further deliveries that plugins may have waiting, counted when nothing is known of them or nothing is left. */
class Room {
  readonly #ctx: Pick<BulkRetryWorkerContext, 'db' | 'maxWaiting'>
  readonly #tenantId: string
  readonly #left = new Map<string, number>()

  constructor(ctx: Pick<BulkRetryWorkerContext, 'db' | 'maxWaiting'>, tenantId: string) {
    this.#ctx = ctx
    this.#tenantId = tenantId
  }

  /** Plugins that are not active get nothing, whatever waits for them: it would be for ever. */
  async isLeftFor(deliveryIds: readonly string[]): Promise<boolean> {
    const { db, maxWaiting } = this.#ctx
    const plugins = await selectActivePlugins(db, this.#tenantId, deliveryIds)
    for (const id of plugins) {
      if ((this.#left.get(id) ?? 0) > 0) continue
      const left = maxWaiting - (await countWaiting(db, this.#tenantId, id, maxWaiting))
      this.#left.set(id, left)
      if (left <= 0) return false
    }
    return true
  }

  take(pluginIds: readonly string[]): void {
    for (const id of pluginIds) this.#left.set(id, (this.#left.get(id) ?? 0) - 1)
  }
}

/** The oldest first: what was made due and the cursor behind it are one transaction. */
async function retryNext(
  ctx: BulkRetryWorkerContext,
  job: BulkRetryJob,
  room: Room,
): Promise<'more' | 'done' | 'lost' | 'full'> {
  const filter = filterOf(job.tenantId, job.pluginId, job.request)
  // What has come since it was asked for is no business of it.
  const until = filter.until === null || filter.until > job.createdAt ? job.createdAt : filter.until
  const ids = await selectDeliveryIds(
    ctx.db,
    { ...filter, until, limit: ctx.batchSize },
    { order: 'asc', behind: job.cursor },
  )
  const cursor = ids.at(-1)
  if (cursor === undefined) return 'done'
  if (!(await room.isLeftFor(ids))) return 'full'
  const queued = await retryWhileLocked(() =>
    ctx.db.transaction().execute(async (trx) => {
      if (!(await holdJob(trx, 'delivery_retries', job))) return null
      const pluginIds = await queueThese(trx, job, ids)
      const skipped = ids.length - pluginIds.length
      await advanceBulkRetry(trx, job, { cursor, queued: pluginIds.length, skipped }, ctx.leaseMs)
      return pluginIds
    }),
  )
  if (queued === null) return 'lost'
  job.cursor = cursor
  room.take(queued)
  if (queued.length > 0) ctx.signals.publish('deliveries_due', [...new Set(queued)])
  return 'more'
}
