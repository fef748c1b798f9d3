import type { AutomationRef } from './change-service.ts'
import type { AutomationContext } from './context.ts'
import { buildFlow } from './definition.ts'
import type { ContinuedAutomation } from './operation-schemas.ts'
import { found, withUnchanged } from './service.ts'
import { fieldsOf, storedAutomation } from './stored.ts'
import { isCustomised, isEnabled, viewAutomation } from './view.ts'

/**
 * Lets an automation go on as a flow. The flow keeps the automation's id and all that goes with it: what it does, what is
 * under way, who was in it. The fields go to an automation of their own, switched off, in the same transaction.
 *
 * @throws `automation_not_found`, `automation_busy`, `too_many_flows`
 */
export async function continueAsFlow(
  ctx: AutomationContext,
  { actor, tenantId, id }: AutomationRef,
): Promise<ContinuedAutomation> {
  return withUnchanged(ctx, { tenantId, id }, async (row) => {
    const { automation: stored, revision } = row
    const fields = fieldsOf(stored)
    const { definition } = buildFlow(fields, false)
    const automation = storedAutomation(fields, stored.preset, definition)
    const { flow, formId, running } = await ctx.flows.detach(actor, tenantId, id, {
      revision,
      definition,
      automation,
      // What was changed while it was off is what is to run, as when it is switched on.
      takesDraft: !isEnabled(row) && !isCustomised(row),
    })
    const form = viewAutomation(await found(ctx, tenantId, formId))
    return { flow_id: flow.id, status: flow.status, running, automation: form }
  })
}
