import { readJson, writeJson } from '#db/json.ts'
import { audit } from '#infra/audit.ts'
import { fullStockProblem, readLimits } from '#infra/quotas.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { CanonicalFlow } from '#lib/flow/index.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { findStart } from '#modules/flow-engine/index.ts'
import type { FlowContext } from '../context.ts'
import { flowInputInvalid, flowNotActive, flowNotManual, flowRunConflict } from '../errors.ts'
import { findFlow } from '../repository.ts'
import { found, type FlowRef } from './revision.ts'

export interface StartedRun {
  execution_id: string | null
  version: number
  status: 'queued' | 'skipped' | 'duplicate'
  reason: string | null
}

/**
 * Starts what is published, by hand.
 *
 * @param key makes repeating it safe: the same key in the same flow starts once
 * @throws `flow_not_found`, `flow_not_active`, `flow_not_manual`, `flow_input_invalid`, `flow_run_conflict`,
 * `quota_exceeded`
 */
export async function runFlow(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: FlowRef,
  { input, key }: { input: Record<string, unknown>; key: string | null },
): Promise<StartedRun> {
  const { status, published_version: version } = found(await findFlow(ctx.db, tenantId, id))
  if (status !== 'active' || version === null) throw flowNotActive()
  const program = await ctx.engine.findProgram(tenantId, id, version)
  checkInput(program?.flow, input)

  const startKey = key === null ? null : startKeyOf(key)
  const isRepeated = startKey !== null && (await findStart(ctx.db, tenantId, id, startKey)) !== undefined
  if (!isRepeated && (await ctx.engine.isFull(tenantId))) await refuseStart(ctx, tenantId)
  const start = { tenantId, flowId: id, version, kind: 'manual', data: input, event: null, startKey } as const
  const started = await ctx.engine.start({ ...start, causationDepth: 0 })
  if (started.status === 'duplicate' && startKey !== null) {
    return { ...(await earlierRun(ctx, { ...start, startKey })), version, status: 'duplicate' }
  }
  const { id: execution_id, reason } = started
  await audit(ctx.db, actor, {
    tenantId,
    action: 'flow.run',
    targetKind: 'flow',
    targetId: id,
    detail: { execution_id, status: started.status, reason },
  })
  return { execution_id, version, status: started.status, reason }
}

/** @throws `quota_exceeded` */
async function refuseStart({ db }: FlowContext, tenantId: string): Promise<never> {
  const { waiting_executions: limit } = await readLimits(db, tenantId)
  throw fullStockProblem('waiting_executions', limit)
}

function checkInput(flow: CanonicalFlow | undefined, input: Record<string, unknown>): void {
  const trigger = flow?.triggers.find(({ type }) => type === 'manual')
  if (trigger?.type !== 'manual') throw flowNotManual()
  if (trigger.input_schema === null) return
  const violations = validate(trigger.input_schema, input)
  if (violations.length === 0) return
  throw flowInputInvalid(undefined, {
    errors: violations.map(({ pointer, detail }) => ({ pointer: `/input${pointer}`, detail })),
  })
}

/** Finds what a run by that key started with. Undefined: there was none. */
export async function findRun(
  { db }: Pick<FlowContext, 'db'>,
  { tenantId, id }: FlowRef,
  key: string,
): Promise<EarlierRun | undefined> {
  const earlier = await findStart(db, tenantId, id, startKeyOf(key))
  if (earlier === undefined) return undefined
  const { published_version: version } = found(await findFlow(db, tenantId, id))
  const { data } = readJson(earlier.trigger) as { data: Record<string, unknown> }
  return { execution_id: earlier.id, reason: earlier.reason, version: version ?? 0, data }
}

export interface EarlierRun {
  execution_id: string
  reason: string | null
  /** Published now. */
  version: number
  data: Record<string, unknown>
}

const startKeyOf = (key: string): string => `run:${key}`

async function earlierRun(
  ctx: FlowContext,
  {
    tenantId,
    flowId,
    startKey,
    data,
    event,
  }: {
    tenantId: string
    flowId: string
    startKey: string
    data: Record<string, unknown>
    event: null
  },
): Promise<Pick<StartedRun, 'execution_id' | 'reason'>> {
  const earlier = await findStart(ctx.db, tenantId, flowId, startKey)
  if (earlier !== undefined && earlier.trigger !== writeJson({ data, event })) throw flowRunConflict()
  return { execution_id: earlier?.id ?? null, reason: earlier?.reason ?? null }
}
