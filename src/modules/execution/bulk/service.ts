import type { Transaction } from 'kysely'
import pLimit from 'p-limit'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, encodeCursor } from '#lib/api/cursor.ts'
import { cancelExecutions, type RetryRefusal } from '#modules/flow-engine/index.ts'
import { countToCancel, countToRetry, selectToCancel, selectToRetry } from './repository.ts'
import {
  type BulkCancelInput,
  type BulkCancelResult,
  type BulkRetryInput,
  type BulkRetryResult,
  CANCELLABLE,
} from './schemas.ts'
import type { ExecutionContext } from '../context.ts'
import { readFilter } from '../read/filter.ts'
import { leaveToJob } from './job-service.ts'
import { readFrom, startRetry } from '../retry-service.ts'
import { CANCEL_REASON } from '../read/service.ts'

/** A request answers in time, with how far it came: a job does the rest. */
const WORK_MS = 3_000
/** Executions whose rows are locked at a time. */
export const CANCEL_BATCH = 500
export const RETRY_BATCH = 100
/** Retries that are started side by side, each in a transaction of its own. */
const RETRY_CONCURRENCY = 4

export interface BulkLimits {
  workMs?: number
}

/** Nothing holds more than a batch locked, however many there are; what takes longer is left to a job. */
export async function cancelMany(
  ctx: ExecutionContext,
  actor: Actor,
  tenantId: string,
  input: BulkCancelInput,
  { workMs = WORK_MS }: BulkLimits = {},
): Promise<BulkCancelResult> {
  const { db } = ctx
  const { dry_run, ...request } = input
  const { status = CANCELLABLE, ...given } = request
  const filter = readFilter(given, status, '')
  const deadline = performance.now() + workMs
  let cancelled = 0
  while (dry_run !== true && performance.now() < deadline) {
    const ids = await selectToCancel(db, tenantId, filter, CANCEL_BATCH)
    if (ids.length === 0) return { cancelled, remaining: 0, job_id: null }
    cancelled += await db
      .transaction()
      .execute((trx) => cancelBatch(ctx, trx, actor, tenantId, { ids, detail: { ...given, status } }))
  }
  const remaining = await countToCancel(db, tenantId, filter)
  if (dry_run === true || remaining === 0) return { cancelled, remaining, job_id: null }
  const job_id = await leaveToJob(ctx, actor, tenantId, { kind: 'cancel', request }, null)
  return { cancelled, remaining, job_id }
}

export async function cancelBatch(
  { flowEngine }: Pick<ExecutionContext, 'flowEngine'>,
  trx: Transaction<DB>,
  actor: Actor,
  tenantId: string,
  { ids, detail: { key, ...detail } }: { ids: readonly string[]; detail: Record<string, unknown> },
): Promise<number> {
  const count = await cancelExecutions(trx, tenantId, ids, CANCEL_REASON, flowEngine.countCancelled)
  await audit(trx, actor, {
    tenantId,
    action: 'executions.cancelled',
    targetKind: 'tenant',
    targetId: tenantId,
    // A key may be a customer's address, and nothing is ever erased from the audit log.
    detail: { count, ...detail, ...(key !== undefined && { by_key: true }) },
  })
  return count
}

/** Retries many, and leaves alone what was retried once, whatever became of that. */
export async function retryMany(
  ctx: ExecutionContext,
  actor: Actor,
  tenantId: string,
  input: BulkRetryInput,
  { workMs = WORK_MS }: BulkLimits = {},
): Promise<BulkRetryResult> {
  const { dry_run, cursor, ...request } = input
  const { status = ['failed'] } = request
  let after = cursor === undefined ? null : decodeCursor(cursor, ['uuid'])?.[0]
  if (after === undefined || typeof after === 'number') throw invalidCursor()
  const filter = readFilter(request, status, '')
  const refused = new Map<string, number>()
  const deadline = performance.now() + workMs
  let retried = 0
  let isDone = false
  try {
    while (dry_run !== true && !isDone && performance.now() < deadline) {
      const ids = await selectToRetry(ctx.db, tenantId, filter, { after, limit: RETRY_BATCH })
      const { reasons, failure } = await retryBatch(ctx, actor, tenantId, request, ids)
      retried += countRefused(refused, [...reasons.values()])
      if (failure !== null) throw failure.error
      after = ids.at(-1) ?? after
      isDone = ids.length < RETRY_BATCH
    }
  } finally {
    if (retried > 0) ctx.signals.publish('executions_due', [tenantId])
  }
  const remaining = isDone ? 0 : await countToRetry(ctx.db, tenantId, filter, after)
  const isLeft = dry_run !== true && remaining > 0
  const job_id = isLeft ? await leaveToJob(ctx, actor, tenantId, { kind: 'retry', request }, after) : null
  return {
    retried,
    refused: [...refused].map(([reason, count]) => ({ reason, count })),
    remaining,
    job_id,
    next_cursor: remaining === 0 || after === null || job_id !== null ? null : encodeCursor([after]),
  }
}

/** Counts why not, by reason. @returns how many were retried */
export function countRefused(refused: Map<string, number>, reasons: readonly (string | null)[]): number {
  let retried = 0
  for (const reason of reasons) {
    if (reason === null) retried++
    else refused.set(reason, (refused.get(reason) ?? 0) + 1)
  }
  return retried
}

/** The progress of a batch of retries. */
interface RetriedBatch {
  /** Of each that was tried why it was not retried, or null. */
  reasons: Map<string, RetryRefusal['reason'] | null>
  /** The error that broke it off: what has started by then stays started. */
  failure: { error: unknown } | null
}

/**
 * Retries executions side by side; once one of them fails by an error, no other one is begun.
 *
 * @param stopAt nor once one of them is refused for it
 */
export async function retryBatch(
  ctx: ExecutionContext,
  actor: Actor,
  tenantId: string,
  { from, version = 'same' }: Pick<BulkRetryInput, 'from' | 'version'>,
  ids: readonly string[],
  stopAt?: RetryRefusal['reason'],
): Promise<RetriedBatch> {
  const request = { tenantId, from: readFrom(from), version, once: true } as const
  const batch: RetriedBatch = { reasons: new Map(), failure: null }
  let isStopped = false
  const retryOne = async (executionId: string): Promise<void> => {
    if (batch.failure !== null || isStopped) return
    try {
      const { reason } = await ctx.db
        .transaction()
        .execute((trx) => startRetry(ctx, trx, actor, { ...request, executionId }))
      batch.reasons.set(executionId, reason)
      isStopped ||= reason !== null && reason === stopAt
    } catch (error) {
      batch.failure ??= { error }
    }
  }
  const limit = pLimit(RETRY_CONCURRENCY)
  await Promise.all(ids.map((id) => limit(retryOne, id)))
  return batch
}
