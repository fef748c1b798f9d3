import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { isProblem } from '#lib/api/problem.ts'
import { flowChanged, flowNotFound } from '#modules/flow/index.ts'
import type { AutomationContext } from './context.ts'
import { checkFlow } from './check.ts'
import { buildFlow } from './definition.ts'
import { automationBusy, automationNotFound } from './errors.ts'
import { readFields } from './read-fields.ts'
import { type AutomationRow, findAutomation, selectAutomations } from './repository.ts'
import type { Automation, AutomationInput, AutomationQuery } from './schemas.ts'
import { storedAutomation } from './stored.ts'
import { viewAutomation } from './view.ts'

/** @throws `invalid_request`, `automation_invalid`, `too_many_flows` */
export async function createAutomation(
  ctx: AutomationContext,
  actor: Actor,
  tenantId: string,
  input: AutomationInput,
  preset: string | null = null,
): Promise<Automation> {
  const fields = readFields(input)
  const built = buildFlow(fields, input.enabled ?? true)
  const warnings = await checkFlow(ctx, tenantId, built)
  const automation = storedAutomation(fields, preset, built.definition)
  const { id } = await ctx.flows.create(actor, tenantId, built.definition, { automation })
  return viewAutomation(await found(ctx, tenantId, id), warnings)
}

/** @throws `automation_not_found` */
export async function readAutomation(
  ctx: AutomationContext,
  tenantId: string,
  id: string,
): Promise<Automation> {
  return viewAutomation(await found(ctx, tenantId, id))
}

export async function listAutomations(
  ctx: AutomationContext,
  tenantId: string,
  query: AutomationQuery,
): Promise<{ data: Automation[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectAutomations(ctx.db, tenantId, {
    type: query.type ?? null,
    trigger: query.trigger ?? null,
    enabled: query.enabled ?? null,
    before: before as string | null,
    limit: query.limit + 1,
  })
  const automations = rows.map((row) => viewAutomation(row))
  return page(automations, query.limit, ({ id }) => [id])
}

/** @throws `automation_not_found`, `automation_busy` */
export async function deleteAutomation(
  ctx: AutomationContext,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<void> {
  await withUnchanged(ctx, { tenantId, id }, ({ revision }) =>
    ctx.flows.remove(actor, tenantId, id, { revision }),
  )
}

/** Changes of others that may come between before the caller is told. */
const ATTEMPTS = 5

/**
 * Reads the automation and changes it, once more if its flow has moved on meanwhile: it may belong to no automation now.
 *
 * @param change names the row's revision in whatever it does to the flow
 * @throws `automation_not_found`, `automation_busy`
 */
export async function withUnchanged<T>(
  ctx: AutomationContext,
  { tenantId, id }: { tenantId: string; id: string },
  change: (row: AutomationRow) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const row = await found(ctx, tenantId, id)
    try {
      return await change(row)
    } catch (error) {
      if (!isProblem(error, flowChanged) && !isProblem(error, flowNotFound)) throw error
    }
  }
  throw automationBusy()
}

/** @throws `automation_not_found` */
export async function found(ctx: AutomationContext, tenantId: string, id: string): Promise<AutomationRow> {
  const row = await findAutomation(ctx.db, tenantId, id)
  if (row === undefined) throw automationNotFound()
  return row
}
