import { createHash } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import { now as clockNow } from '#lib/clock.ts'
import type { HookRequest } from '#lib/flow/scope.ts'
import type { WebhookTrigger } from '#lib/flow/types.ts'
import type { ConnectionService } from '#modules/connection/index.ts'
import {
  asOfNow,
  filterRefusal,
  findStart,
  type FlowEngineService,
  type Program,
  startScope,
} from '#modules/flow-engine/index.ts'
import { inletConflict, inletNotFound } from './errors.ts'
import { findInlet } from './inlet-repository.ts'
import { hashInletToken, isInletToken } from './inlet-token.ts'

export interface InletContext {
  db: Kysely<DB>
  flowEngine: Pick<FlowEngineService, 'start' | 'findProgram'>
  connections: Pick<ConnectionService, 'webhookSecrets'>
}

/** An inlet whose flow is published. */
export interface OpenInlet extends Pick<WebhookTrigger, 'filter' | 'verify' | 'answer'> {
  tenantId: string
  flowId: string
  version: number
  triggerId: string
  /** Of headers that flows see beside the usual ones. */
  headerNames: readonly string[]
  program: Program
  /** Time zone of the tenant. */
  zone: string
}

export interface InletReceipt {
  /** Null: the trigger's filter did not let it pass. */
  execution_id: string | null
  status: 'queued' | 'skipped' | 'filtered'
  /** Why it was skipped: paused, halted, not_active, rate_cap, already_active … */
  reason: string | null
}

/** @throws `inlet_not_found`, alike for what never was, was replaced, and belongs to a flow that was never published or is deleted */
export async function openInlet(ctx: InletContext, token: string): Promise<OpenInlet> {
  if (!isInletToken(token)) throw inletNotFound()
  const row = await findInlet(ctx.db, hashInletToken(token))
  if (row?.published_version == null) throw inletNotFound()
  const { tenant_id: tenantId, flow_id: flowId, trigger_id: triggerId, published_version: version } = row
  const published = await ctx.flowEngine.findProgram(tenantId, flowId, version)
  const trigger = published?.flow.triggers.find(({ id }) => id === triggerId)
  if (published === null || trigger?.type !== 'webhook') throw inletNotFound()
  // Its filter may read them.
  const program = await asOfNow(ctx.db, tenantId, published)
  const { filter, verify, answer, headers: headerNames = [] } = trigger
  return {
    ...{ tenantId, flowId, version, triggerId, filter, headerNames, program, zone: row.zone ?? 'UTC' },
    ...(verify !== undefined && { verify }),
    ...(answer !== undefined && { answer }),
  }
}

/** A request to an inlet, once it has been read. */
export interface Received {
  body: unknown
  request: HookRequest
  /** The sender's, constant over its attempts; null: every request stands for itself. */
  key: string | null
  /** The key stands for one body: another one is a mistake of the sender. */
  isSameBody: boolean
}

/** Starts the inlet's flow with a body, once for a key. @throws `inlet_conflict` */
export async function receive(
  ctx: InletContext,
  inlet: OpenInlet,
  { body, request, key, isSameBody }: Received,
): Promise<InletReceipt> {
  const { tenantId, flowId, version, program, filter, zone } = inlet
  const now = new Date(clockNow())
  const sent = { data: body, event: null, request }
  const scope = startScope({ tenantId, flowId, version, program, ...sent, zone, now }, '')
  if (filter !== null && filterRefusal(program, filter, scope, now) !== null) {
    return { execution_id: null, status: 'filtered', reason: null }
  }
  const startKey = key === null ? null : `inlet ${inlet.triggerId} ${sha256(key)}`
  const { id, status, reason } = await ctx.flowEngine.start({
    tenantId,
    flowId,
    version,
    kind: 'webhook',
    ...sent,
    causationDepth: 0,
    startKey,
  })
  if (status === 'duplicate') return receiptOf(ctx, inlet, isSameBody ? { body } : null, startKey as string)
  return { execution_id: id, status, reason }
}

async function receiptOf(
  ctx: InletContext,
  { tenantId, flowId }: OpenInlet,
  sent: { body: unknown } | null,
  startKey: string,
): Promise<InletReceipt> {
  const before = await findStart(ctx.db, tenantId, flowId, startKey)
  if (before === undefined) throw new Error('a duplicate start has no first one')
  // What comes behind it is of the request, and may differ.
  const start = sent === null ? '' : writeJson({ data: sent.body, event: null }).slice(0, -1)
  if (!before.trigger.startsWith(start)) throw inletConflict()
  const status = before.isSkipped ? 'skipped' : 'queued'
  return { execution_id: before.id, status, reason: before.reason }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
