import type { Transaction } from 'kysely'
import { constraintOf } from '#db/errors.ts'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import type { CompileResult } from '#lib/flow/index.ts'
import { newId } from '#lib/ids.ts'
import { cancelLive, changeActive, compileToRun, putInForce } from './lifecycle/activation.ts'
import { compile } from './definition/compile.ts'
import type { FlowContext } from './context.ts'
import { type Definition, parseDefinition, readEnvelope, summariseTriggers } from './definition/definition.ts'
import { tooManyFlows } from './errors.ts'
import {
  countFlows,
  findFlow,
  findInstalled,
  type FlowRow,
  insertFlow,
  markDeleted,
  selectFlows,
  TEMPLATE_KEY_INDEX,
  updateFlow,
} from './repository.ts'
import { found, type FlowRef, withUnchanged } from './lifecycle/revision.ts'
import type { FlowQuery, FlowSummary } from './schemas.ts'
import { countLive, findVersion } from './versions/repository.ts'
import { type Flow, viewFlow, viewHead } from './view.ts'

/** Their definitions may be 1 MiB each, and matchers hold what is active in memory. */
const MAX_FLOWS = 2_000

export interface FlowOrigin {
  /** The ready-made template that it came from. */
  templateId?: string | null
  /** With this, there is one flow of the template: who comes second gets the first one's. */
  templateKey?: string | null
  /** The members that the CRM keeps with it. */
  automation?: unknown
}

export interface FlowReplacement {
  /** Makes it run at once; nothing is stored if it cannot. */
  publish?: boolean | undefined
  /** In place of what the CRM keeps with it. */
  automation?: unknown
}

/** @throws `invalid_request`, `flow_invalid` if it is to be active, `too_many_flows` */
export async function createFlow(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  definition: Definition,
  origin: FlowOrigin = {},
): Promise<Flow> {
  const { name, description, status } = readEnvelope(definition)
  const id = newId()
  const insert = async (trx: Transaction<DB>): Promise<FlowRow> => {
    if ((await countFlows(trx, tenantId)) >= MAX_FLOWS) throw tooManyFlows()
    const row = await insertFlow(trx, {
      tenant_id: tenantId,
      id,
      name,
      description,
      status: status === 'active' ? 'draft' : status,
      definition: definition.text,
      triggers: JSON.stringify(summariseTriggers(definition)),
      template_id: origin.templateId ?? null,
      template_key: origin.templateKey ?? null,
      automation: origin.automation == null ? null : JSON.stringify(origin.automation),
    })
    await auditFlow(trx, actor, row, 'flow.created', { name, status, template_id: row.template_id })
    return row
  }
  if (status === 'active') {
    const runnable = await compileToRun(ctx, tenantId, definition)
    const row = await changeActive(ctx, tenantId, async (trx, now) =>
      putInForce(ctx, trx, await insert(trx), runnable, { activate: true, now, actor }),
    )
    return viewFlow(ctx, actor, row, runnable)
  }
  const compiled = await compile(ctx, tenantId, definition.value)
  const row = await ctx.db.transaction().execute(async (trx) => {
    const inserted = await insert(trx)
    await reserveInlets(ctx, trx, inserted, compiled)
    return inserted
  })
  return viewFlow(ctx, actor, row, compiled)
}

/**
 * Creates a flow of a template, unless there is one of the same template and parameters: then that, as it is now.
 * @throws `invalid_request`, `flow_invalid` if it is to be active, `too_many_flows`
 */
export async function createOnce(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  definition: Definition,
  origin: FlowOrigin & { templateId: string; templateKey: string },
): Promise<{ flow: Flow; isNew: boolean }> {
  const { templateId, templateKey } = origin
  const installed = async (): Promise<{ flow: Flow; isNew: boolean } | null> => {
    const row = await findInstalled(ctx.db, tenantId, templateId, templateKey)
    return row === undefined ? null : { flow: await viewFlow(ctx, actor, row), isNew: false }
  }
  const before = await installed()
  if (before !== null) return before
  try {
    return { flow: await createFlow(ctx, actor, tenantId, definition, origin), isNew: true }
  } catch (error) {
    if (constraintOf(error) !== TEMPLATE_KEY_INDEX) throw error
    const first = await installed()
    if (first === null) throw error
    return first
  }
}

/**
 * Replaces the draft; what is published runs on.
 * @throws `flow_not_found`, `flow_changed`, `invalid_request`, `flow_invalid`
 */
export async function replaceFlow(
  ctx: FlowContext,
  actor: Actor,
  flowRef: FlowRef,
  definition: Definition,
  { publish = false, automation }: FlowReplacement = {},
): Promise<Flow> {
  const { tenantId } = flowRef
  const { name, description } = readEnvelope(definition)
  const write = async (trx: Transaction<DB>, before: FlowRow): Promise<FlowRow> => {
    const triggers = JSON.stringify(summariseTriggers(definition))
    const row = await updateFlow(trx, before, {
      name,
      description,
      definition: definition.text,
      triggers,
      ...(automation !== undefined && { automation: JSON.stringify(automation) }),
    })
    await auditFlow(trx, actor, row, 'flow.updated', { name, revision: row.revision })
    return row
  }
  if (publish) {
    const runnable = await compileToRun(ctx, tenantId, definition)
    const row = await withUnchanged(ctx, actor, flowRef, noPreparation, (lock) =>
      changeActive(ctx, tenantId, async (trx, now) => {
        const written = await write(trx, await lock(trx))
        const after = await putInForce(ctx, trx, written, runnable, { activate: true, now, actor })
        await auditFlow(trx, actor, after, 'flow.published', { version: after.published_version })
        return after
      }),
    )
    return viewFlow(ctx, actor, row, runnable)
  }
  const compiled = await compile(ctx, tenantId, definition.value)
  const row = await withUnchanged(ctx, actor, flowRef, noPreparation, (lock) =>
    ctx.db.transaction().execute(async (trx) => {
      const written = await write(trx, await lock(trx))
      await reserveInlets(ctx, trx, written, compiled)
      return written
    }),
  )
  return viewFlow(ctx, actor, row, compiled)
}

/**
 * Takes what the CRM keeps with a flow out of it, and keeps it with another flow, which is switched off: in one transaction,
 * so that nothing is ever both. The flow itself runs on: its versions, what it has under way and who is enrolled in it are
 * its own as before.
 *
 * @param form what is kept, and the definition that it stands for; `takesDraft`: of a flow that is off, activation takes
 * the draft, and not what was published before it
 * @returns the flow, the other one's id, and how much the flow has under way
 * @throws `flow_not_found`, `flow_changed`, `too_many_flows`
 */
export async function detachFlow(
  ctx: FlowContext,
  actor: Actor,
  flowRef: FlowRef,
  form: { definition: Definition; automation: unknown; takesDraft: boolean },
): Promise<{ flow: Flow; formId: string; running: number }> {
  const { tenantId } = flowRef
  const { name, description } = readEnvelope(form.definition)
  const formId = newId()
  const row = await withUnchanged(ctx, actor, flowRef, noPreparation, (lock) =>
    ctx.db.transaction().execute(async (trx) => {
      const before = await lock(trx)
      const isPublished = !form.takesDraft || (await isDraftPublished(trx, before))
      const detached = await updateFlow(trx, before, {
        automation: null,
        ...(!isPublished && { published_version: null }),
      })
      if ((await countFlows(trx, tenantId)) >= MAX_FLOWS) throw tooManyFlows()
      const other = await insertFlow(trx, {
        tenant_id: tenantId,
        id: formId,
        name,
        description,
        status: 'inactive',
        definition: form.definition.text,
        triggers: JSON.stringify(summariseTriggers(form.definition)),
        template_id: null,
        template_key: null,
        automation: JSON.stringify(form.automation),
      })
      await auditFlow(trx, actor, detached, 'flow.detached', { name: detached.name, automation_id: formId })
      await auditFlow(trx, actor, other, 'flow.created', { name, status: 'inactive', template_id: null })
      return detached
    }),
  )
  const live = await countLive(ctx.db, tenantId, row.id)
  const running = live.reduce((sum, { count }) => sum + count, 0)
  return { flow: await viewFlow(ctx, actor, row), formId, running }
}

/** Deletes a flow. Its executions under way are cancelled: nobody could look after them any more. */
export async function deleteFlow(ctx: FlowContext, actor: Actor, flowRef: FlowRef): Promise<void> {
  const { tenantId } = flowRef
  await withUnchanged(ctx, actor, flowRef, noPreparation, (lock) =>
    changeActive(ctx, tenantId, async (trx) => {
      const row = await lock(trx)
      await ctx.triggers.remove(trx, tenantId, row.id)
      await markDeleted(trx, row)
      await auditFlow(trx, actor, row, 'flow.deleted', { name: row.name })
    }),
  )
  await cancelLive(ctx, flowRef, { reason: 'flow_deleted' })
}

export async function readFlow(ctx: FlowContext, actor: Actor, { tenantId, id }: FlowRef): Promise<Flow> {
  return viewFlow(ctx, actor, found(await findFlow(ctx.db, tenantId, id)))
}

export async function listFlows(
  ctx: FlowContext,
  tenantId: string,
  query: FlowQuery,
): Promise<{ data: FlowSummary[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectFlows(ctx.db, tenantId, {
    status: query.status ?? null,
    q: query.q ?? null,
    event: query.event ?? null,
    trigger: query.trigger ?? null,
    templateId: query.template_id ?? null,
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows.map(viewHead), query.limit, ({ id }) => [id])
}

/** A draft with another name, and none of the original's versions. */
export async function duplicateFlow(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: FlowRef,
  name: string | undefined,
): Promise<Flow> {
  const { name: originalName, definition } = found(await findFlow(ctx.db, tenantId, id))
  const { value } = parseDefinition(definition)
  const copy = { ...value, name: name ?? copyName(originalName), status: 'draft' }
  return createFlow(ctx, actor, tenantId, { value: copy, text: JSON.stringify(copy) })
}

export async function auditFlow(
  trx: Transaction<DB>,
  actor: Actor,
  { tenant_id: tenantId, id: targetId }: Pick<FlowRow, 'tenant_id' | 'id'>,
  action: string,
  detail: Record<string, unknown>,
): Promise<void> {
  await audit(trx, actor, { tenantId, action, targetKind: 'flow', targetId, detail })
}

async function reserveInlets(
  ctx: FlowContext,
  trx: Transaction<DB>,
  { tenant_id, id }: FlowRow,
  { flow }: CompileResult,
): Promise<void> {
  if (flow !== null) await ctx.triggers.reserve(trx, tenant_id, id, flow.triggers)
}

async function isDraftPublished(
  trx: Transaction<DB>,
  { tenant_id, id, published_version: version, definition }: FlowRow,
): Promise<boolean> {
  if (version === null) return false
  return (await findVersion(trx, tenant_id, id, version))?.definition === definition
}

async function noPreparation(): Promise<null> {
  return null
}

const COPY_SUFFIX = ' (copy)'
const NAME_KEPT_CHARS = 180

function copyName(name: string): string {
  return name.slice(0, NAME_KEPT_CHARS).toWellFormed() + COPY_SUFFIX
}
