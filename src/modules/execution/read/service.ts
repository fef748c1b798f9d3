import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { statusesOf } from '#infra/http/log-filters.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, encodeCursor, page } from '#lib/api/cursor.ts'
import { redact } from '#lib/secrets/redact.ts'
import { cancelExecutions, selectHeldTargets } from '#modules/flow-engine/index.ts'
import type { ExecutionContext } from '../context.ts'
import { executionEnded, executionNotFound } from '../errors.ts'
import { readFilter } from './filter.ts'
import {
  type ExecutionRow,
  findExecution,
  selectExecutions,
  selectPassedOver,
  selectRetries,
  selectWaits,
} from './repository.ts'
import {
  type Execution,
  EXECUTION_STATUSES,
  type ExecutionDetail,
  type ExecutionDetailQuery,
  type ExecutionQuery,
} from './schemas.ts'
import { selectSteps } from './step-repository.ts'
import { runningAt, toExecution, toStep, waitingFor } from './view.ts'

/** Why an execution that a person cancelled ended. */
export const CANCEL_REASON = 'requested'

export async function listExecutions(
  { db }: Pick<ExecutionContext, 'db'>,
  tenantId: string,
  query: ExecutionQuery,
): Promise<{ data: Execution[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const filter = {
    ...readFilter(query, statusesOf(query.status, EXECUTION_STATUSES), '/querystring'),
    reason: query.reason ?? null,
    errorCode: query.error_code ?? null,
    eventId: query.event_id ?? null,
    text: query.q ?? null,
  }
  const rows = await selectExecutions(db, tenantId, filter, {
    before: before as string | null,
    limit: query.limit + 1,
  })
  const { data, next_cursor } = page(rows, query.limit, (row) => [row.id])
  return { data: await toExecutions(db, tenantId, data), next_cursor }
}

/** With whom those wait for that are held back. */
export async function toExecutions(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  rows: readonly ExecutionRow[],
): Promise<Execution[]> {
  const held = rows.flatMap((row) => (row.held_by !== null && row.status === 'waiting' ? [row.held_by] : []))
  const targets = held.length === 0 ? [] : await selectHeldTargets(db, tenantId, [...new Set(held)])
  return rows.map((row) => toExecution(row, targets))
}

/** @throws `execution_not_found` */
export async function readExecution(
  { db }: { db: Kysely<DB> | Transaction<DB> },
  tenantId: string,
  id: string,
  query: ExecutionDetailQuery,
): Promise<ExecutionDetail> {
  const from = query.cursor === undefined ? 0 : decodeCursor(query.cursor, ['integer'])?.[0]
  if (typeof from !== 'number' || from < 0 || from > MAX_INTEGER) throw invalidCursor()
  const row = await findExecution(db, tenantId, id)
  if (row === undefined) throw executionNotFound()
  const waits = await selectWaits(db, tenantId, id)
  const retries = await selectRetries(db, tenantId, id)
  const steps = await selectSteps(db, tenantId, id, { from, limit: query.limit })
  const { trigger, state, expires_at, body_gone, ...head } = row
  const [execution] = (await toExecutions(db, tenantId, [head])) as [Execution]
  const next = (steps.at(-1)?.number ?? from - 1) + 1
  return {
    ...execution,
    trigger: redact(trigger['data']),
    request: redact(trigger['request'] ?? null) as ExecutionDetail['request'],
    body_gone,
    expires_at,
    at: runningAt(row),
    waiting_for: waitingFor({ status: row.status, state, expires_at }, waits),
    cancelled_by: waits.filter(({ purpose }) => purpose === 'cancel').map(({ event }) => event),
    passed_over: await selectPassedOver(db, tenantId, id),
    retries,
    steps: steps.map((step) => toStep(step, row.carried_steps)),
    next_cursor: steps.length > 0 && next < row.step_count ? encodeCursor([next]) : null,
  }
}

const MAX_INTEGER = 2 ** 31 - 1

/** At once where it waits, at its next step where it runs. A cancelled one stays as it is. @throws `execution_ended` */
export async function cancelExecution(
  { db, flowEngine }: Pick<ExecutionContext, 'db' | 'flowEngine'>,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<Execution> {
  return db.transaction().execute(async (trx) => {
    if ((await cancelExecutions(trx, tenantId, [id], CANCEL_REASON, flowEngine.countCancelled)) > 0) {
      await audit(trx, actor, {
        tenantId,
        action: 'execution.cancelled',
        targetKind: 'execution',
        targetId: id,
      })
    }
    const row = await findExecution(trx, tenantId, id)
    if (row === undefined) throw executionNotFound()
    const [execution] = (await toExecutions(trx, tenantId, [row])) as [Execution]
    if (execution.status !== 'cancelled' && !execution.cancel_requested) throw executionEnded()
    return execution
  })
}

/** @throws `execution_not_found` */
export async function checkExecution(
  { db }: Pick<ExecutionContext, 'db'>,
  tenantId: string,
  id: string,
): Promise<void> {
  if ((await findExecution(db, tenantId, id)) === undefined) throw executionNotFound()
}
