import type { Actor } from '#infra/auth/auth.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { checkFlow } from './check.ts'
import type { AutomationContext } from './context.ts'
import { buildFlow } from './definition.ts'
import { automationCustomised } from './errors.ts'
import type { AutomationFields } from './fields.ts'
import { readFields } from './read-fields.ts'
import type { AutomationRow } from './repository.ts'
import type { Automation, AutomationInput, AutomationPatch } from './schemas.ts'
import type { ToggleRequest } from './operation-schemas.ts'
import { found, withUnchanged } from './service.ts'
import { fieldsOf, storedAutomation } from './stored.ts'
import { isCustomised, isEnabled, viewAutomation } from './view.ts'

/** Names an automation, and who changes it. */
export interface AutomationRef {
  actor: Actor
  tenantId: string
  id: string
}

/** @throws `automation_not_found`, `automation_customised`, `invalid_request`, `automation_invalid` */
export async function replaceAutomation(
  ctx: AutomationContext,
  automationRef: AutomationRef,
  input: AutomationInput,
): Promise<Automation> {
  return change(ctx, automationRef, () => readFields(input), input.enabled)
}

/** Members that are left out stay as they are. @throws as `replaceAutomation` */
export async function patchAutomation(
  ctx: AutomationContext,
  automationRef: AutomationRef,
  { enabled, ...patch }: AutomationPatch,
): Promise<Automation> {
  if (enabled !== undefined && Object.keys(patch).length === 0) {
    return toggleAutomation(ctx, automationRef, { enabled, cancel_running: false })
  }
  return change(ctx, automationRef, (before) => readFields({ ...before, ...patch }), enabled)
}

/** Makes the flow of its fields again, whatever was edited. @throws `automation_not_found`, `automation_invalid` */
export async function resetAutomation(
  ctx: AutomationContext,
  automationRef: AutomationRef,
): Promise<Automation> {
  return change(ctx, automationRef, (before) => before, undefined, { isReset: true })
}

/** @throws `automation_not_found`, `automation_busy`, `flow_invalid` */
export async function toggleAutomation(
  ctx: AutomationContext,
  automationRef: AutomationRef,
  { enabled, cancel_running }: ToggleRequest,
): Promise<Automation> {
  const { tenantId, id } = automationRef
  const wanted = enabled ?? !isEnabled(await found(ctx, tenantId, id))
  await withUnchanged(ctx, automationRef, async (row) => {
    if (wanted === isEnabled(row)) return
    await (wanted ? switchOn(ctx, automationRef, row) : switchOff(ctx, automationRef, row, cancel_running))
  })
  return viewAutomation(await found(ctx, tenantId, id))
}

/** Switches it on, as it was changed while it was off; a flow edited by hand as its editor has published it. */
async function switchOn(
  { flows }: AutomationContext,
  { actor, tenantId, id }: AutomationRef,
  row: AutomationRow,
): Promise<void> {
  const { revision } = row
  if (isCustomised(row)) await flows.activate(actor, tenantId, id, { revision })
  else await flows.publish(actor, tenantId, id, { revision })
}

async function switchOff(
  { flows }: AutomationContext,
  { actor, tenantId, id }: AutomationRef,
  { revision }: AutomationRow,
  cancelRunning: boolean,
): Promise<void> {
  await flows.deactivate(actor, tenantId, id, { revision, cancelRunning })
}

async function change(
  ctx: AutomationContext,
  automationRef: AutomationRef,
  changed: (before: AutomationFields) => AutomationFields,
  enabled: boolean | undefined,
  { isReset = false } = {},
): Promise<Automation> {
  const warnings = await withUnchanged(ctx, automationRef, (row) => {
    if (isCustomised(row) && !isReset) throw automationCustomised()
    return write(ctx, automationRef, row, changed(fieldsOf(row.automation)), enabled)
  })
  return viewAutomation(await found(ctx, automationRef.tenantId, automationRef.id), warnings)
}

/** @returns warnings */
async function write(
  ctx: AutomationContext,
  { actor, tenantId, id }: AutomationRef,
  row: AutomationRow,
  fields: AutomationFields,
  enabled = isEnabled(row),
): Promise<FieldError[]> {
  const built = buildFlow(fields, enabled)
  const warnings = await checkFlow(ctx, tenantId, built)
  const automation = storedAutomation(fields, row.automation.preset, built.definition)
  const { revision } = await ctx.flows.update(actor, tenantId, id, built.definition, {
    revision: row.revision,
    publish: enabled,
    automation,
  })
  if (!enabled && isEnabled(row)) await ctx.flows.deactivate(actor, tenantId, id, { revision })
  return warnings
}
