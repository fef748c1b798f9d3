import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { finishJob, holdJob, releaseJob } from '#infra/job-repository.ts'
import type { Signals } from '#infra/signals.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '#lib/id-range.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { JsonInputError } from '#lib/json/index.ts'
import { retryWhileLocked } from '#db/retry.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import {
  advanceReplay,
  type BatchQuery,
  claimReplay,
  countWaiting,
  findSubscriber,
  queueDeliveries,
  readBatch,
  type Preference,
  type ReplayJob,
  type ScannedEvent,
} from './job-repository.ts'
import { type Criteria, createSelection, type Selection } from './selection.ts'

export interface ReplayWorkerContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
  /** The time for which a worker that stopped answering keeps a replay; each batch prolongs it. */
  leaseMs: number
  /** Events a batch. */
  batchSize: number
  /** A replay pauses while the plugin has so many deliveries waiting: live events queue up behind them. */
  maxWaiting: number
}

/** 25 ms a batch, measured on two cores with 100,000 events: that long a delivery worker may wait for a row. */
export const BATCH_SIZE = 500
export const MAX_WAITING = 50_000
const PAUSE_MS = 5_000
/** Then the next replay has its turn. */
const BATCHES_A_TURN = 50

/** Works on one replay for one turn. */
export async function runReplayTurn(
  ctx: ReplayWorkerContext,
  signal?: AbortSignal,
  preference?: Preference,
): Promise<PassResult> {
  const job = await claimReplay(ctx.db, ctx.leaseMs, preference)
  if (job === null) return 'idle'
  ctx.onChange?.(job.tenantId)
  return workOn(ctx, job, signal)
}

async function workOn(ctx: ReplayWorkerContext, job: ReplayJob, signal?: AbortSignal): Promise<PassResult> {
  let capacity = 0
  for (let batch = 0; batch < BATCHES_A_TURN && signal?.aborted !== true; batch++) {
    if (capacity <= 0 && job.dryRun) capacity = Infinity
    if (capacity <= 0) capacity = ctx.maxWaiting - (await countWaiting(ctx.db, job, ctx.maxWaiting))
    if (capacity <= 0) {
      await releaseJob(ctx.db, 'replays', job, PAUSE_MS)
      return { pauseMs: PAUSE_MS }
    }
    const result = await runReplayBatch(ctx, job)
    ctx.onChange?.(job.tenantId)
    if (result === 'ended') return 'more'
    capacity -= result.queued
  }
  await releaseJob(ctx.db, 'replays', job)
  return 'more'
}

/**
 * One batch: reads the next events, and in one transaction queues their deliveries and moves the cursor behind
 * them. `ended` when there is nothing more to do for this worker: it is finished, cancelled or somebody else's.
 */
export async function runReplayBatch(
  ctx: ReplayWorkerContext,
  job: ReplayJob,
): Promise<'ended' | { queued: number }> {
  const subscriber = await findSubscriber(ctx.db, job)
  if (subscriber === null) return finish(ctx, job, 'cancelled', 'The plugin was deleted.')
  const selection = createSelection(job, subscriber)
  const events = await readBatch(ctx.db, batchQuery(job, selection, job.cursor, ctx.batchSize))
  const last = events.at(-1)
  if (last === undefined) return finish(ctx, job, 'completed', null)

  let chosen: Chosen
  try {
    chosen = await choose(job.tenantId, selection, events)
  } catch (error) {
    if (!(error instanceof JsonInputError)) throw error
    return finish(
      ctx,
      job,
      'failed',
      `The body of an event after ${job.cursor ?? 'the first'} cannot be read.`,
    )
  }
  const queued = await retryWhileLocked(() =>
    ctx.db.transaction().execute(async (trx) => {
      if (!(await holdJob(trx, 'replays', job))) return null
      const { length } = chosen.take
      const count = length === 0 || job.dryRun ? length : await queueDeliveries(trx, job, chosen.take)
      const progress = { cursor: last.id, scanned: events.length, queued: count, skipped: chosen.gone }
      await advanceReplay(trx, job, progress, ctx.leaseMs)
      return count
    }),
  )
  if (queued === null) return 'ended'
  job.cursor = last.id
  if (queued > 0 && !job.dryRun) ctx.signals.publish('deliveries_due', [job.pluginId])
  return { queued }
}

async function finish(
  ctx: ReplayWorkerContext,
  job: ReplayJob,
  status: 'completed' | 'cancelled' | 'failed',
  error: string | null,
): Promise<'ended'> {
  await finishJob(ctx.db, 'replays', job, { status, error })
  return 'ended'
}

export interface Chosen {
  take: ScannedEvent[]
  gone: number
}

export async function choose(
  tenantId: string,
  selection: Selection,
  events: readonly ScannedEvent[],
): Promise<Chosen> {
  const chosen: Chosen = { take: [], gone: 0 }
  for (const event of events) {
    const turn = loopShare.turn(tenantId)
    if (turn !== null) await turn
    const choice = selection.choose(event)
    if (choice === 'take') chosen.take.push(event)
    else if (choice === 'gone') chosen.gone++
  }
  return chosen
}

/** The events of a range stand in a range of ids, give or take the difference between the hosts' clocks. */
export function batchQuery(
  scope: Criteria & { tenantId: string; pluginId: string },
  selection: Selection,
  after: string | null,
  limit: number,
): BatchQuery {
  const { tenantId, pluginId, since, until } = scope
  const first = since === null ? LOWEST_ID : lowestIdAt(since.getTime() - ID_CLOCK_SLACK_MS)
  const before = lowestIdAt(until.getTime() + ID_CLOCK_SLACK_MS)
  return {
    tenantId,
    pluginId,
    since,
    until,
    after: after ?? first,
    before,
    limit,
    withBodies: selection.needsBodies,
  }
}
