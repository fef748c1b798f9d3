import type { CountCancelled } from '#modules/flow-engine/index.ts'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { holdJob, releaseJob } from '#infra/job-repository.ts'
import { secretContext } from '#infra/secrets.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '#lib/id-range.ts'
import type { PassResult } from '#lib/async/job-loop.ts'
import { JsonInputError } from '#lib/json/index.ts'
import { retryWhileLocked } from '#db/retry.ts'
import { parsePath } from '#lib/json/path.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import { eraseExecutionBatch } from './execution-batch.ts'
import {
  advanceErasure,
  claimErasure,
  enterPhase,
  eraseEvents,
  ERASURE_PHASES,
  type ErasureJob,
  finishErasure,
  type Progress,
  readBatch,
} from './job-repository.ts'
import type { Wanted } from './match-repository.ts'
import { eraseRecords, type Range } from './record-repository.ts'
import { bodyHas, type ErasureValue } from './value.ts'

export interface ErasureWorkerContext {
  db: Kysely<DB>
  secretBox: SecretBox
  /** The time for which a worker that stopped answering keeps an erasure; each batch prolongs it. */
  leaseMs: number
  /** Records a batch. */
  batchSize: number
  /** Told how many executions an erasure ended. */
  onCancelled?: CountCancelled
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

export const BATCH_SIZE = 500
/** Then the next erasure has its turn. */
const BATCHES_A_TURN = 50
/** For executions that run to end at their next step boundary. */
const PAUSE_MS = 1_000

/** Works on one erasure for one turn. */
export async function runErasureTurn(ctx: ErasureWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimErasure(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  for (let batch = 0; batch < BATCHES_A_TURN && signal?.aborted !== true; batch++) {
    const result = await runErasureBatch(ctx, job)
    ctx.onChange?.(job.tenantId)
    if (result === 'ended') return 'more'
  }
  await releaseJob(ctx.db, 'erasures', job)
  return 'more'
}

/** The result of a batch: null when nothing is left to look at, `wait` when something has to end first. */
type BatchResult = Progress | 'wait' | null

/**
 * One batch: erases what fits, and moves the cursor behind it, in one transaction.
 * @returns ended: this worker has it no longer
 */
export async function runErasureBatch(ctx: ErasureWorkerContext, job: ErasureJob): Promise<'ended' | 'more'> {
  let result: BatchResult | 'lost'
  try {
    const wanted = openJob(ctx.secretBox, job)
    result = await doBatch(ctx, job, wanted)
  } catch (error) {
    const reason = unworkable(error, job)
    if (reason === null) throw error
    await finishErasure(ctx.db, job, 'failed', reason)
    return 'ended'
  }
  if (result === 'lost') return 'ended'
  if (result === 'wait') {
    await releaseJob(ctx.db, 'erasures', job, PAUSE_MS)
    return 'ended'
  }
  if (result === null) {
    const next = ERASURE_PHASES[ERASURE_PHASES.indexOf(job.phase) + 1]
    if (next === undefined) await finishErasure(ctx.db, job, 'completed', null)
    else await enterPhase(ctx.db, job, next)
    return 'ended'
  }
  job.cursor = result.cursor
  return 'more'
}

async function doBatch(
  ctx: ErasureWorkerContext,
  job: ErasureJob,
  wanted: Wanted,
): Promise<BatchResult | 'lost'> {
  const range = {
    after: job.cursor ?? LOWEST_ID,
    before: lowestIdAt(job.phaseStartedAt.getTime() + ID_CLOCK_SLACK_MS),
    limit: ctx.batchSize,
  }
  const work = await workOf(ctx, job, wanted, range)
  return retryWhileLocked(() =>
    ctx.db.transaction().execute(async (trx) => {
      if (!(await holdJob(trx, 'erasures', job))) return 'lost'
      const result = await work(trx)
      if (result !== null && result !== 'wait') await advanceErasure(trx, job, result, ctx.leaseMs)
      return result
    }),
  )
}

/** Returns the work of the batch in its transaction, after reading all that can be read before it. */
async function workOf(
  ctx: ErasureWorkerContext,
  job: ErasureJob,
  wanted: Wanted,
  range: Range,
): Promise<(trx: Transaction<DB>) => Promise<BatchResult>> {
  const { tenantId, phase } = job
  if (phase === 'executions')
    return (trx) => eraseExecutionBatch(trx, tenantId, wanted, range, ctx.onCancelled)
  if (phase !== 'events') return (trx) => eraseRecords(trx, tenantId, phase, wanted, range)
  const events = await readBatch(ctx.db, job, range)
  const last = events.at(-1)
  if (last === undefined) return async () => null
  const found = events.filter(({ body }) => body !== null && bodyHas(body, wanted.path, wanted.value))
  return async (trx) => {
    const ids = found.map(({ id }) => id)
    if (ids.length > 0) await eraseEvents(trx, tenantId, ids)
    return { cursor: last.id, scanned: events.length, erased: ids.length }
  }
}

function openJob(secretBox: SecretBox, job: ErasureJob): Wanted {
  const context = secretContext(job.tenantId, job.id, 'value')
  const value = readJson(secretBox.open(job.valueSealed, context)) as ErasureValue
  return { path: parsePath(job.path) ?? [], value }
}

/** Returns the reason why trying again would not help, without anything of the data; null: it may. */
function unworkable(error: unknown, job: ErasureJob): string | null {
  if (error instanceof SecretBoxError) return `The value cannot be opened: it was ${error.message}.`
  if (error instanceof JsonInputError) {
    return `The body of an event after ${job.cursor ?? 'the first'} cannot be read.`
  }
  return null
}
