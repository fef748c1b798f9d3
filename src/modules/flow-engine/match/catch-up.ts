import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB, TriggerKind } from '#db/schema.ts'
import { uuidTime } from '#lib/ids.ts'
import type { ActiveFlow } from './active-flows.ts'
import { cancelExecutions } from '../run/cancel.ts'
import type { FlowCursor } from './cursor.ts'
import { recordEnrolment } from '../start/enrolment.ts'
import { countTriggered } from '../start/rate-cap.ts'
import type { StoredTrigger } from '../run/scope.ts'
import { decideStart, type Refusal, type StartRequest } from '../start/starts.ts'
import { initialState } from '../run/state.ts'
import { insertWaits } from '../wait/repository.ts'
import { hasCome, isCancelledBefore } from '../wait/waits.ts'

/** Why a start was missed, as its row says. */
export type MissedReason = 'paused' | 'not_active' | 'halted'

export interface MissedFilter {
  tenantId: string
  /** Null: of all flows that are active. */
  flowId: string | null
  reasons: readonly MissedReason[]
  /** When they were missed. */
  since: Date | null
  until: Date | null
}

/** Marked at once: some 20 µs each, while no event of the tenant is matched. */
const MARKED_MAX = 50_000
/** Taken up in one transaction. */
const BATCH = 200

/** Starts that wait to be taken up, at most `MARKED_MAX` of them. */
export async function countMissed(db: Kysely<DB> | Transaction<DB>, filter: MissedFilter): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from (${missed(filter)} limit ${MARKED_MAX}) missed`.execute(db)
  return rows[0]?.count ?? 0
}

/**
 * Marks missed starts to be taken up by the matcher, before it lets anything newer start. The oldest come first; what
 * is beyond `MARKED_MAX` is left to another call. The caller holds the tenant's cursor.
 * @returns how many
 */
export async function markMissed(trx: Transaction<DB>, filter: MissedFilter): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    with chosen as materialized (
      ${missed(filter)} order by coalesce(e.event_id, e.id) limit ${MARKED_MAX} for update of e
    ), marked as (
      update automation_executions e set status = 'skipped', reason = 'catch_up', cancel_reason = null
      from chosen where e.tenant_id = ${filter.tenantId} and e.id = chosen.id returning e.id
    ), told as (
      update flow_cursors set catch_up = true
      where tenant_id = ${filter.tenantId} and exists (select from marked)
    )
    select count(*) as count from marked`.execute(trx)
  return rows[0]?.count ?? 0
}

/** What a person has retried by hand is not missed any more, and what has lost its trigger cannot be made good. */
function missed({ tenantId, flowId, reasons, since, until }: MissedFilter): RawBuilder<unknown> {
  return sql`
    select e.id from automation_executions e
    where e.tenant_id = ${tenantId}
      and ((e.status = 'skipped' and e.reason in ('paused', 'not_active', 'halted'))
        or (e.status = 'cancelled' and e.reason = 'halted'))
      and e.reason = any(${[...reasons]}::text[])
      and ${
        flowId === null
          ? sql`e.flow_id in (select f.id from automation_flows f where f.tenant_id = ${tenantId}
              and f.status = 'active' and f.deleted_at is null)`
          : sql`e.flow_id = ${flowId}`
      }
      and (${since}::timestamptz is null or e.finished_at >= ${since}::timestamptz)
      and (${until}::timestamptz is null or e.finished_at < ${until}::timestamptz)
      and e.trigger_kind in ('event', 'webhook') and e.body_gone is null and e.step_count = 0
      and not exists (select from automation_executions r where r.tenant_id = e.tenant_id and r.retry_of = e.id)`
}

/** All that was marked has been gone through. */
export async function endCatchUp(trx: Transaction<DB>, tenantId: string): Promise<void> {
  await trx.updateTable('flow_cursors').set({ catch_up: false }).where('tenant_id', '=', tenantId).execute()
}

interface Matching {
  flows: readonly ActiveFlow[]
  cursor: FlowCursor
  now: Date
  /** Told how many executions it has cancelled. */
  onCancelled: (count: number) => void
}

interface MissedRow {
  id: string
  flow_id: string
  trigger_kind: TriggerKind
  trigger: StoredTrigger
  start_key: string | null
  causation_depth: number
}

/**
 * Starts what was missed and marked, in the order of the events, each under the id that it had from the first: by what
 * is published now and by the enrolment as it is now. What was to cancel it and has come meanwhile does so.
 *
 * @param trouble `one`: what has failed is in the way of no other; `giveUp`: it has failed too often
 * @returns how many were gone through, 0: there are no more; and how many of them have started, by
 *   what starts them
 */
export async function takeUpMissed(
  trx: Transaction<DB>,
  tenantId: string,
  { flows, cursor, now, onCancelled }: Matching,
  trouble: { one: boolean; giveUp: boolean },
): Promise<{ caughtUp: number; queued: ReadonlyMap<TriggerKind, number> }> {
  const { rows } = await sql<MissedRow>`
    select id, flow_id, trigger_kind, trigger, start_key, causation_depth from automation_executions
    where tenant_id = ${tenantId} and status = 'skipped' and reason = 'catch_up'
    order by coalesce(event_id, id) limit ${trouble.one ? 1 : BATCH} for update`.execute(trx)
  const byId = new Map(flows.map((flow) => [flow.id, flow]))
  const started = new Map<string, number>()
  const queued = new Map<TriggerKind, number>()
  for (const row of rows) {
    const flow = byId.get(row.flow_id)
    if (trouble.giveUp) {
      await leaveMissed(trx, tenantId, row.id, { reason: 'internal_error', error: null })
      continue
    }
    const why = flow === undefined ? 'not_active' : (flow.off ?? (cursor.isHalted ? 'halted' : null))
    if (flow === undefined || why !== null) {
      await leaveMissed(trx, tenantId, row.id, { reason: why ?? 'not_active', error: null })
      continue
    }
    if (await takeUp(trx, tenantId, row, flow, { cursor, now, onCancelled })) {
      started.set(flow.id, (started.get(flow.id) ?? 0) + 1)
      queued.set(row.trigger_kind, (queued.get(row.trigger_kind) ?? 0) + 1)
    }
  }
  await countTriggered(trx, tenantId, started, now)
  return { caughtUp: rows.length, queued }
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
    zone: cursor.zone,
    startKey: row.start_key,
    causationDepth: row.causation_depth,
    refused: null,
    isMissed: true,
    now,
    onCancelled,
  }
  const { key, keys, refused } = await decideStart(trx, request, id)
  if (refused !== null) {
    await leaveMissed(trx, tenantId, id, refused)
    return false
  }
  await trx
    .updateTable('automation_executions')
    .set({
      version,
      status: 'queued',
      reason: null,
      error: null,
      key,
      state: writeJson(initialState(program.flow.start, program.flow.variables)),
      due_at: now,
      finished_at: null,
      expires_at: new Date(now.getTime() + program.flow.settings.lifetime_ms),
    })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .execute()
  await recordEnrolment(trx, request, key, id)
  const not = row.trigger.event?.id ?? null
  const startMs = uuidTime(not ?? id).getTime()
  const passedOver = new Map<number, string>()
  const search = { tenantId, keys, now, not, passedOver }
  const isCancelled =
    (await hasCome(trx, { ...search, sinceMs: startMs })) ||
    (await isCancelledBefore(trx, program, { ...search, startMs }))
  const wait = { tenantId, executionId: id, stepId: '', iteration: '', purpose: 'cancel' as const }
  await insertWaits(trx, { ...wait, keys, passedOver })
  if (isCancelled) await cancelExecutions(trx, tenantId, [id], 'cancel_on', onCancelled)
  return true
}

async function leaveMissed(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  { reason, error }: Refusal,
): Promise<void> {
  await trx
    .updateTable('automation_executions')
    .set({ reason, error: error === null ? null : JSON.stringify(error) })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .execute()
}
