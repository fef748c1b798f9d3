import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, encodeCursor } from '#lib/api/cursor.ts'
import { cancelExecutions, type RetryRequest } from '#modules/flow-engine/index.ts'
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
import { readFrom, startRetry } from '../retry-service.ts'
import { CANCEL_REASON } from '../read/service.ts'

/** A request answers in time, with how far it came: called again it goes on. */
const WORK_MS = 3_000
/** Executions whose rows are locked at a time. */
const CANCEL_BATCH = 500
const RETRY_BATCH = 100
/** Retries that are started side by side, each in a transaction of its own. */
const RETRY_CONCURRENCY = 4

export interface BulkLimits {
  workMs?: number
}

/** Nothing holds more than a batch locked, however many there are. */
export async function cancelMany(
  { db, flowEngine }: Pick<ExecutionContext, 'db' | 'flowEngine'>,
  actor: Actor,
  tenantId: string,
  input: BulkCancelInput,
  { workMs = WORK_MS }: BulkLimits = {},
): Promise<BulkCancelResult> {
  const { dry_run, status = CANCELLABLE, ...given } = input
  const filter = readFilter(given, status, '')
  const deadline = performance.now() + workMs
  let cancelled = 0
  while (dry_run !== true && performance.now() < deadline) {
    const ids = await selectToCancel(db, tenantId, filter, CANCEL_BATCH)
    if (ids.length === 0) return { cancelled, remaining: 0 }
    cancelled += await db.transaction().execute(async (trx) => {
      const count = await cancelExecutions(trx, tenantId, ids, CANCEL_REASON, (ended) =>
        flowEngine.countCancelled(ended),
      )
      await audit(trx, actor, {
        tenantId,
        action: 'executions.cancelled',
        targetKind: 'tenant',
        targetId: tenantId,
        detail: { count, ...given, status },
      })
      return count
    })
  }
  return { cancelled, remaining: await countToCancel(db, tenantId, filter) }
}

/** What was retried once, whatever became of that, is left alone. */
export async function retryMany(
  ctx: ExecutionContext,
  actor: Actor,
  tenantId: string,
  input: BulkRetryInput,
  { workMs = WORK_MS }: BulkLimits = {},
): Promise<BulkRetryResult> {
  const { dry_run, status = ['failed'], from, version, cursor, ...given } = input
  let after = cursor === undefined ? null : decodeCursor(cursor, ['uuid'])?.[0]
  if (after === undefined || typeof after === 'number') throw invalidCursor()
  const filter = readFilter(given, status, '')
  const request = { tenantId, from: readFrom(from), version: version ?? 'same', once: true } as const
  const refused = new Map<string, number>()
  const deadline = performance.now() + workMs
  let retried = 0
  let isDone = false
  while (dry_run !== true && !isDone && performance.now() < deadline) {
    const ids = await selectToRetry(ctx.db, tenantId, filter, { after, limit: RETRY_BATCH })
    const reasons = await retryEach(ctx, actor, request, ids)
    for (const reason of reasons) {
      if (reason === null) retried++
      else refused.set(reason, (refused.get(reason) ?? 0) + 1)
    }
    after = ids.at(-1) ?? after
    isDone = ids.length < RETRY_BATCH
  }
  if (retried > 0) ctx.signals.publish('executions_due', [tenantId])
  const remaining = isDone ? 0 : await countToRetry(ctx.db, tenantId, filter, after)
  return {
    retried,
    refused: [...refused].map(([reason, count]) => ({ reason, count })),
    remaining,
    next_cursor: remaining === 0 || after === null ? null : encodeCursor([after]),
  }
}

/** @returns for each why not, or null */
async function retryEach(
  ctx: ExecutionContext,
  actor: Actor,
  request: Omit<RetryRequest, 'executionId'>,
  ids: readonly string[],
): Promise<(string | null)[]> {
  const open = ids.values()
  const reasons: (string | null)[] = []
  const line = async (): Promise<void> => {
    for (const executionId of open) {
      const { reason } = await ctx.db
        .transaction()
        .execute((trx) => startRetry(ctx, trx, actor, { ...request, executionId }))
      reasons.push(reason)
    }
  }
  await Promise.all(Array.from({ length: RETRY_CONCURRENCY }, line))
  return reasons
}
