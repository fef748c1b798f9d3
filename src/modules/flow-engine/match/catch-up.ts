import type { CountCancelled } from '../run/cancel-repository.ts'
import type { Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB, TriggerKind } from '#db/schema.ts'
import { uuidTime } from '#lib/ids.ts'
import type { ActiveFlow } from './active-flows.ts'
import type { FlowCursor } from './cursor-repository.ts'
import { recordEnrolment } from '../start/enrolment.ts'
import { countTriggered } from '../run/flow-repository.ts'
import { decideStart, schemaVersionOf, type StartRequest, watchCancelling } from '../start/enqueue.ts'
import { initialState } from '../run/state.ts'
import { waitingQuota } from '../start/waiting-quota.ts'
import { leaveMissed, lockMarked, type MissedRow, queueMissed } from './catch-up-repository.ts'

/** Taken up in one transaction. */
const BATCH = 200

interface Matching {
  flows: readonly ActiveFlow[]
  cursor: FlowCursor
  now: Date
  /** Told how many executions it has cancelled. */
  onCancelled: CountCancelled
}

/**
 * Starts what was missed and marked, in the order of the events, each under the id that it had from the first: by what
 * is published now and by the enrolment as it is now. What was to cancel it and has come meanwhile does so.
 *
 * @param trouble `one`: what has failed is in the way of no other; `giveUp`: it has failed too often
 * @returns how many were gone through; how many of them have started, by what starts them; and whether the rest stays
 *   marked, as the tenant has as many executions as it may: else 0 says that there are no more
 */
export async function takeUpMissed(
  trx: Transaction<DB>,
  tenantId: string,
  { flows, cursor, now, onCancelled }: Matching,
  trouble: { one: boolean; giveUp: boolean },
): Promise<{ caughtUp: number; queued: ReadonlyMap<TriggerKind, number>; isHeld: boolean }> {
  // Until there is room it is looked at again and again: then one tells whether there are any.
  const isFull = await waitingQuota.isUsedUp(trx, tenantId)
  const rows = await lockMarked(trx, tenantId, trouble.one || isFull ? 1 : BATCH)
  const byId = new Map(flows.map((flow) => [flow.id, flow]))
  const started = new Map<string, number>()
  const queued = new Map<TriggerKind, number>()
  let caughtUp = 0
  let isHeld = false
  for (const row of rows) {
    const flow = byId.get(row.flow_id)
    if (trouble.giveUp) {
      await leaveMissed(trx, tenantId, row.id, { reason: 'internal_error', error: null })
      caughtUp++
      continue
    }
    const why = flow === undefined ? 'not_active' : (flow.off ?? (cursor.isHalted ? 'halted' : null))
    if (flow === undefined || why !== null) {
      await leaveMissed(trx, tenantId, row.id, { reason: why ?? 'not_active', error: null })
      caughtUp++
      continue
    }
    isHeld = isFull || (await waitingQuota.isUsedUp(trx, tenantId))
    if (isHeld) break
    caughtUp++
    if (await takeUp(trx, tenantId, row, flow, { cursor, now, onCancelled })) {
      started.set(flow.id, (started.get(flow.id) ?? 0) + 1)
      queued.set(row.trigger_kind, (queued.get(row.trigger_kind) ?? 0) + 1)
    }
  }
  await countTriggered(trx, tenantId, started, now)
  return { caughtUp, queued, isHeld }
}

/** @returns whether it has started */
async function takeUp(
  trx: Transaction<DB>,
  tenantId: string,
  row: MissedRow,
  flow: ActiveFlow,
  { cursor, now, onCancelled }: Omit<Matching, 'flows'>,
): Promise<boolean> {
  const { id } = row
  const { program, version } = flow
  const request: StartRequest = {
    tenantId,
    flowId: flow.id,
    version,
    program,
    kind: row.trigger_kind,
    data: row.trigger.data,
    event: row.trigger.event,
    request: row.trigger.request,
    zone: cursor.zone,
    startKey: row.start_key,
    causationDepth: row.causation_depth,
    refused: null,
    isMissed: true,
    isLate: true,
    now,
    onCancelled,
  }
  const { key, keys, refused } = await decideStart(trx, request, id)
  if (refused !== null) {
    await leaveMissed(trx, tenantId, id, refused)
    return false
  }
  await queueMissed(trx, tenantId, id, {
    version,
    schemaVersion: schemaVersionOf(program),
    key,
    state: writeJson(initialState(program.flow.start, program.flow.variables)),
    now,
    expiresAt: new Date(now.getTime() + program.flow.settings.lifetime_ms),
  })
  await recordEnrolment(trx, request, key, id)
  const startMs = uuidTime(row.trigger.event?.id ?? id).getTime()
  await watchCancelling(trx, request, { id, keys, startMs })
  return true
}
