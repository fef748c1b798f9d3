import type { Kysely } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import { holdJob, releaseJob } from '../../infra/durable-jobs.ts'
import { secretContext } from '../../infra/secrets.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt, LOWEST_ID } from '../../lib/id-range.ts'
import type { PassResult } from '../../lib/job-loop.ts'
import { JsonInputError } from '../../lib/json.ts'
import { retryWhileLocked } from '../../lib/lock-retry.ts'
import { parsePath, type Path } from '../../lib/path.ts'
import { type SecretBox, SecretBoxError } from '../../lib/secret-box.ts'
import {
  advanceErasure,
  claimErasure,
  type ErasureJob,
  eraseEvents,
  finishErasure,
  readBatch,
} from './job-repository.ts'
import { bodyHas, type ErasureValue } from './value.ts'

export interface ErasureWorkerContext {
  db: Kysely<DB>
  secretBox: SecretBox
  /** How long a worker that stopped answering keeps an erasure; each batch prolongs it. */
  leaseMs: number
  /** Events a batch. */
  batchSize: number
}

export const BATCH_SIZE = 500
/** Then the next erasure has its turn. */
const BATCHES_A_TURN = 50

/** Works on one erasure for one turn. */
export async function runErasureTurn(ctx: ErasureWorkerContext, signal?: AbortSignal): Promise<PassResult> {
  const job = await claimErasure(ctx.db, ctx.leaseMs)
  if (job === null) return 'idle'
  for (let batch = 0; batch < BATCHES_A_TURN && signal?.aborted !== true; batch++) {
    if ((await runErasureBatch(ctx, job)) === 'ended') return 'more'
  }
  await releaseJob(ctx.db, 'erasures', job)
  return 'more'
}

/** One batch: erases what fits, and moves the cursor behind it, in one transaction. */
export async function runErasureBatch(ctx: ErasureWorkerContext, job: ErasureJob): Promise<'ended' | 'more'> {
  const events = await readBatch(ctx.db, job, {
    after: job.cursor ?? LOWEST_ID,
    before: lowestIdAt(job.createdAt.getTime() + ID_CLOCK_SLACK_MS),
    limit: ctx.batchSize,
  })
  const last = events.at(-1)
  if (last === undefined) {
    await finishErasure(ctx.db, job, 'completed', null)
    return 'ended'
  }

  let found: string[]
  try {
    const [path, value] = openJob(ctx.secretBox, job)
    found = events.filter(({ body }) => body !== null && bodyHas(body, path, value)).map(({ id }) => id)
  } catch (error) {
    const reason = unworkable(error, job)
    if (reason === null) throw error
    await finishErasure(ctx.db, job, 'failed', reason)
    return 'ended'
  }
  const held = await retryWhileLocked(() =>
    ctx.db.transaction().execute(async (trx) => {
      if (!(await holdJob(trx, 'erasures', job))) return false
      if (found.length > 0) await eraseEvents(trx, job.tenantId, found)
      const progress = { cursor: last.id, scanned: events.length, erased: found.length }
      await advanceErasure(trx, job, progress, ctx.leaseMs)
      return true
    }),
  )
  if (!held) return 'ended'
  job.cursor = last.id
  return 'more'
}

function openJob(secretBox: SecretBox, job: ErasureJob): [Path, ErasureValue] {
  const context = secretContext(job.tenantId, job.id, 'value')
  const value = JSON.parse(secretBox.open(job.valueSealed, context)) as ErasureValue
  return [parsePath(job.path) ?? [], value]
}

/** Why trying again would not help, without anything of the data; null: it may. */
function unworkable(error: unknown, job: ErasureJob): string | null {
  if (error instanceof SecretBoxError) return `The value cannot be opened: it was ${error.message}.`
  if (error instanceof JsonInputError) {
    return `The body of an event after ${job.cursor ?? 'the first'} cannot be read.`
  }
  return null
}
