import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { parseSchedule } from '#lib/cron.ts'
import type { Trigger } from '#lib/flow/types.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { inletNotFound } from './errors.ts'
import {
  deleteInlets,
  insertInlets,
  replaceToken,
  selectInlets,
  selectInletTriggers,
} from './inlet-repository.ts'
import { newInletToken, openInletToken } from './inlet-token.ts'
import { deleteSchedulesExcept, selectSchedules, upsertSchedules } from './schedule-repository.ts'

export interface FlowTriggerContext {
  db: Kysely<DB>
  secretBox: SecretBox
  /** Origin, and path if any, that the outside reaches the service by; null: URLs are paths. */
  publicUrl: string | null
}

/** The schedules and inlets of a flow, as they stand. */
export interface TriggerStates {
  schedules: { trigger_id: string; next_fire_at: Date; last_fired_at: Date | null }[]
  /** Whoever knows a URL can start the flow: for editors. */
  inlets: { trigger_id: string; url: string | null }[]
}

/** @see FlowTriggerService.sync */
export async function syncTriggers(
  { secretBox }: FlowTriggerContext,
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  triggers: readonly Trigger[],
  now: Date,
): Promise<void> {
  const schedules = triggers.flatMap((trigger) => {
    if (trigger.type !== 'schedule') return []
    const nextFireAt = parseSchedule(trigger.cron, trigger.timezone).next(now)
    return nextFireAt === null ? [] : [{ ...trigger, nextFireAt }]
  })
  const ids = schedules.map(({ id }) => id)
  await deleteSchedulesExcept(trx, tenantId, flowId, ids)
  await upsertSchedules(trx, tenantId, flowId, schedules)
  await reserveInlets(secretBox, trx, tenantId, flowId, triggers)
}

/** @see FlowTriggerService.reserve */
export async function reserveInlets(
  secretBox: SecretBox,
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  triggers: readonly Trigger[],
): Promise<void> {
  const wanted = triggers.filter(({ type }) => type === 'webhook').map(({ id }) => id)
  if (wanted.length === 0) return
  const known = new Set(await selectInletTriggers(trx, tenantId, flowId))
  const inlets = wanted
    .filter((triggerId) => !known.has(triggerId))
    .map((triggerId) => ({ triggerId, token: newInletToken(secretBox, tenantId, flowId, triggerId) }))
  await insertInlets(trx, tenantId, flowId, inlets)
}

/** @see FlowTriggerService.remove */
export async function removeTriggers(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<void> {
  await deleteSchedulesExcept(trx, tenantId, flowId, [])
  await deleteInlets(trx, tenantId, flowId)
}

/** @see FlowTriggerService.describe */
export async function describeTriggers(
  ctx: FlowTriggerContext,
  db: Kysely<DB>,
  tenantId: string,
  flowIds: readonly string[],
): Promise<Map<string, TriggerStates>> {
  const states = new Map<string, TriggerStates>(flowIds.map((id) => [id, { schedules: [], inlets: [] }]))
  if (flowIds.length === 0) return states
  for (const { flow_id, ...schedule } of await selectSchedules(db, tenantId, flowIds)) {
    states.get(flow_id)?.schedules.push(schedule)
  }
  for (const { flow_id, trigger_id, token_sealed } of await selectInlets(db, tenantId, flowIds)) {
    const token = openInletToken(ctx.secretBox, token_sealed, tenantId, flow_id, trigger_id)
    states.get(flow_id)?.inlets.push({ trigger_id, url: token === null ? null : inletUrl(ctx, token) })
  }
  return states
}

/** Gives an inlet another URL; the old one is unknown from then on. */
export async function rotateInlet(
  ctx: FlowTriggerContext,
  actor: Actor,
  inlet: { tenantId: string; flowId: string; triggerId: string },
): Promise<{ trigger_id: string; url: string }> {
  const { tenantId, flowId, triggerId } = inlet
  const token = newInletToken(ctx.secretBox, tenantId, flowId, triggerId)
  await ctx.db.transaction().execute(async (trx) => {
    if (!(await replaceToken(trx, inlet, token))) throw inletNotFound()
    await audit(trx, actor, {
      tenantId,
      action: 'flow.inlet_rotated',
      targetKind: 'flow',
      targetId: flowId,
      detail: { trigger_id: triggerId },
    })
  })
  return { trigger_id: triggerId, url: inletUrl(ctx, token.token) }
}

function inletUrl({ publicUrl }: FlowTriggerContext, token: string): string {
  return `${publicUrl ?? ''}/hooks/${token}`
}
