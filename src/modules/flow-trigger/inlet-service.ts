import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import { now as clockNow } from '#lib/clock.ts'
import type { Condition } from '#lib/condition/index.ts'
import {
  filterRefusal,
  findStart,
  type FlowEngineService,
  type Program,
  startScope,
} from '#modules/flow-engine/index.ts'
import { inletConflict, inletNotFound } from './errors.ts'
import { findActiveInlet } from './inlet-repository.ts'
import { hashInletToken, isInletToken } from './inlet-token.ts'

export interface InletContext {
  db: Kysely<DB>
  flowEngine: Pick<FlowEngineService, 'start' | 'findProgram'>
}

/** An inlet that starts something. */
export interface OpenInlet {
  tenantId: string
  flowId: string
  version: number
  triggerId: string
  filter: Condition | null
  program: Program
  /** Time zone of the tenant. */
  zone: string
}

export interface InletReceipt {
  /** Null: the trigger's filter did not let it pass. */
  execution_id: string | null
  status: 'queued' | 'skipped' | 'filtered'
  /** Why it was skipped: halted, not_active, rate_cap, already_active … */
  reason: string | null
}

/** @throws `inlet_not_found`, alike for what never was, was replaced, and belongs to a flow that is off */
export async function openInlet(ctx: InletContext, token: string): Promise<OpenInlet> {
  if (!isInletToken(token)) throw inletNotFound()
  const row = await findActiveInlet(ctx.db, hashInletToken(token))
  if (row?.published_version == null) throw inletNotFound()
  const { tenant_id: tenantId, flow_id: flowId, trigger_id: triggerId, published_version: version } = row
  const program = await ctx.flowEngine.findProgram(tenantId, flowId, version)
  const trigger = program?.flow.triggers.find(({ id }) => id === triggerId)
  if (program === null || trigger?.type !== 'webhook') throw inletNotFound()
  return { tenantId, flowId, version, triggerId, filter: trigger.filter, program, zone: row.zone ?? 'UTC' }
}

/**
 * Starts the inlet's flow with a body, once for a key.
 * @param key the sender's, constant over its attempts; null: every request stands for itself
 * @throws `inlet_conflict`
 */
export async function receive(
  ctx: InletContext,
  inlet: OpenInlet,
  body: unknown,
  key: string | null,
): Promise<InletReceipt> {
  const { tenantId, flowId, version, program, filter, zone } = inlet
  const now = new Date(clockNow())
  const scope = startScope({ tenantId, flowId, version, program, data: body, event: null, zone, now }, '')
  if (filter !== null && filterRefusal(program, filter, scope, now) !== null) {
    return { execution_id: null, status: 'filtered', reason: null }
  }
  const startKey = key === null ? null : `inlet ${inlet.triggerId} ${sha256(key)}`
  const { id, status, reason } = await ctx.flowEngine.start({
    tenantId,
    flowId,
    version,
    kind: 'webhook',
    data: body,
    event: null,
    causationDepth: 0,
    startKey,
  })
  if (status === 'duplicate') return receiptOf(ctx, inlet, body, startKey as string)
  return { execution_id: id, status, reason }
}

async function receiptOf(
  ctx: InletContext,
  { tenantId, flowId }: OpenInlet,
  body: unknown,
  startKey: string,
): Promise<InletReceipt> {
  const before = await findStart(ctx.db, tenantId, flowId, startKey)
  if (before === undefined) throw new Error('a duplicate start has no first one')
  if (before.trigger !== writeJson({ data: body, event: null })) throw inletConflict()
  const status = before.isSkipped ? 'skipped' : 'queued'
  return { execution_id: before.id, status, reason: before.reason }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
