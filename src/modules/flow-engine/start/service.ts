import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { now as currentTime } from '#lib/clock.ts'
import { isCaughtUp } from '../match/catch-up-repository.ts'
import { lockCursor } from '../match/cursor-repository.ts'
import { countRecentStarts, selectRefused } from './enqueue-repository.ts'
import { countTriggered, lockForStart } from '../run/flow-repository.ts'
import { asOfNow } from '../run/program.ts'
import { WAITING_EXECUTIONS, waitingQuota } from './waiting-quota.ts'
import { isSimpleStart, startExecution, type StartRequest, type StartResult, startSimple } from './enqueue.ts'

/** A start outside of the matcher, before anything is checked. `program` is as it was published. */
export type UncheckedStart = Omit<StartRequest, 'refused' | 'now'>

/**
 * Starts an execution that no event starts, in the caller's transaction, unless the tenant is halted, the flow is
 * active no more, or has started too often. What a webhook would start while the flow still takes up what it has missed
 * is taken up after that. Waits for the tenant's cursor, for the flow, so that nothing starts behind
 * an answer that it is switched off, and then for the start's enrolment key: the caller must not hold locks on flows
 * or executions.
 *
 * @param testNow in place of the database's clock
 */
export async function startChecked(
  trx: Transaction<DB>,
  request: UncheckedStart,
  most: number,
  testNow: Date | null = null,
): Promise<StartResult & { at: Date }> {
  const { tenantId, flowId } = request
  const cursor = await lockCursor(trx, tenantId, 'hold')
  const missed = (await lockForStart(trx, tenantId, flowId)) ?? (cursor?.isHalted === true ? 'halted' : null)
  const now = testNow ?? cursor?.now ?? new Date(currentTime())
  const isCapped = (await countRecentStarts(trx, { tenantId, flowId }, most, now)) >= most
  const isBehind =
    request.kind === 'webhook' && cursor?.hasCatchUp === true && !(await isCaughtUp(trx, tenantId, flowId))
  const off = missed ?? (isBehind ? 'catch_up' : isCapped ? 'rate_cap' : null)
  const refused = off ?? ((await waitingQuota.isUsedUp(trx, tenantId)) ? WAITING_EXECUTIONS : null)
  const zone = cursor?.zone ?? 'UTC'
  const program = await asOfNow(trx, tenantId, request.program)
  return { ...(await startExecution(trx, { ...request, program, refused, zone, now })), at: now }
}

/** Tells whether a start has no enrolment to look at, so that `startTogether` can take it. */
export function isPlainStart(request: UncheckedStart): boolean {
  return isSimpleStart({ ...request, refused: null, now: new Date(0) })
}

/**
 * Starts many plain ones by a handful of statements, none of which waits for another's locks but the flows'.
 * @returns how many were queued, and skipped
 */
export async function startTogether(
  trx: Transaction<DB>,
  requests: readonly UncheckedStart[],
  most: number,
  now: Date,
): Promise<{ queued: number; skipped: number }> {
  if (requests.length === 0) return { queued: 0, skipped: 0 }
  const refused = new Map<string, string>(await selectRefused(trx, requests, most, now))
  for (const { tenantId, flowId } of requests) {
    if (!refused.has(flowId) && (await waitingQuota.isUsedUp(trx, tenantId))) {
      refused.set(flowId, WAITING_EXECUTIONS)
    }
  }
  const checked: StartRequest[] = []
  for (const each of requests) {
    const program = await asOfNow(trx, each.tenantId, each.program)
    checked.push({ ...each, program, refused: refused.get(each.flowId) ?? null, now })
  }
  let skipped = 0
  for (const each of checked) {
    if (each.refused !== null && (await startExecution(trx, each)).status === 'skipped') skipped++
  }
  const counts = new Map<string, Map<string, number>>()
  const { started } = await startSimple(
    trx,
    checked.filter(({ refused }) => refused === null),
  )
  const tenants = new Map(requests.map(({ flowId, tenantId }) => [flowId, tenantId]))
  for (const flowId of started) {
    const tenantId = tenants.get(flowId) as string
    const ofTenant = counts.get(tenantId) ?? new Map<string, number>()
    counts.set(tenantId, ofTenant.set(flowId, (ofTenant.get(flowId) ?? 0) + 1))
  }
  for (const [tenantId, ofTenant] of counts) await countTriggered(trx, tenantId, ofTenant, now)
  return { queued: started.length, skipped }
}
