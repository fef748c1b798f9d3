import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import {
  cancelQueued,
  countMissed,
  haltTenant,
  lockCursor,
  markMissed,
  type MissedFilter,
  resumeTenant,
} from '#modules/flow-engine/index.ts'
import type { ExecutionContext } from '../context.ts'
import type { HaltResult, HaltState, ResumeResult } from './schemas.ts'
import { findHaltedAt } from './repository.ts'

/** A request drains what is queued for so long; the switch itself is thrown before. */
const DRAIN_MS = 3_000

export async function readHalt(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<HaltState> {
  const halted_at = await findHaltedAt(db, tenantId)
  return { halted: halted_at !== null, halted_at }
}

export async function halt(
  { db, flowEngine }: Pick<ExecutionContext, 'db' | 'flowEngine'>,
  actor: Actor,
  tenantId: string,
): Promise<HaltResult> {
  const deadline = performance.now() + DRAIN_MS
  const state = await db.transaction().execute(async (trx) => {
    const before = await readHalt(trx, tenantId)
    if (before.halted) return before
    await haltTenant(trx, tenantId)
    await auditSwitch(trx, actor, tenantId, 'automations.halted')
    return readHalt(trx, tenantId)
  })
  return {
    ...state,
    ...(await cancelQueued(db, tenantId, deadline, flowEngine.countCancelled)),
  }
}

/** @param catchUp whether what was missed since the halt starts now, before anything newer */
export async function resume(
  { db, signals }: ExecutionContext,
  actor: Actor,
  tenantId: string,
  { catchUp }: { catchUp: boolean },
): Promise<ResumeResult> {
  const state = await db.transaction().execute(async (trx) => {
    // Nothing is matched between the switch and what is taken up by it.
    await lockCursor(trx, tenantId, 'hold')
    const before = await readHalt(trx, tenantId)
    if (before.halted_at === null) return { ...before, missed: 0, taken_up: 0 }
    await resumeTenant(trx, tenantId)
    const since = new Date(before.halted_at)
    const filter: MissedFilter = { tenantId, flowId: null, reasons: ['halted'], since, until: null }
    const missed = await countMissed(trx, filter)
    const taken_up = catchUp ? await markMissed(trx, filter) : 0
    await auditSwitch(trx, actor, tenantId, 'automations.resumed', { since: since.toISOString(), taken_up })
    return { ...(await readHalt(trx, tenantId)), missed, taken_up }
  })
  signals.publish('executions_due', [tenantId])
  if (state.taken_up > 0) signals.publish('events_stored', [tenantId])
  return state
}

async function auditSwitch(
  trx: Transaction<DB>,
  actor: Actor,
  tenantId: string,
  action: string,
  detail: Record<string, unknown> = {},
): Promise<void> {
  await audit(trx, actor, { tenantId, action, targetKind: 'tenant', targetId: tenantId, detail })
}
