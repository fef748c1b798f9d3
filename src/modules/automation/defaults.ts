import { constraintOf } from '#db/errors.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { AutomationContext } from './context.ts'
import { selectPresets } from './repository.ts'
import type { Automation, AutomationInput } from './schemas.ts'
import type { DefaultsRequest } from './operation-schemas.ts'
import { createAutomation } from './service.ts'
import { viewAutomation } from './view.ts'

type Preset = Pick<AutomationInput, 'name' | 'type' | 'trigger' | 'delay_hours' | 'channel'>

/** The automations that every shop starts with. */
const PRESETS: Readonly<Record<string, Preset>> = {
  welcome_new_leads: {
    name: 'Welcome New Leads',
    type: 'lead_followup',
    trigger: 'new_lead',
    delay_hours: 0,
    channel: 'email',
  },
  follow_up_3_days: {
    name: 'Follow-up After 3 Days',
    type: 'lead_followup',
    trigger: 'no_contact',
    delay_hours: 72,
    channel: 'email',
  },
  follow_up_7_days: {
    name: 'Follow-up After 7 Days',
    type: 'lead_followup',
    trigger: 'no_contact',
    delay_hours: 168,
    channel: 'email',
  },
  booking_reminder_24h: {
    name: 'Booking Reminder 24h Before',
    type: 'booking_reminder',
    trigger: 'before_booking',
    delay_hours: 24,
    channel: 'email',
  },
}

const ONE_OF_EACH = 'automation_flows_tenant_id_preset_key'

/** Installs those that are not there: each of them once, whoever asks at the same time. */
export async function installDefaults(
  ctx: AutomationContext,
  actor: Actor,
  tenantId: string,
  chosen: DefaultsRequest,
): Promise<{ installed: Automation[]; existing: Automation[] }> {
  const known = new Set((await selectPresets(ctx.db, tenantId)).map(({ automation }) => automation.preset))
  const installed: Automation[] = []
  for (const [preset, fields] of Object.entries(PRESETS)) {
    if (known.has(preset)) continue
    try {
      installed.push(await createAutomation(ctx, actor, tenantId, { ...fields, ...chosen }, preset))
    } catch (error) {
      if (constraintOf(error) !== ONE_OF_EACH) throw error
    }
  }
  const mine = new Set(installed.map(({ id }) => id))
  const rows = await selectPresets(ctx.db, tenantId)
  return { installed, existing: rows.filter(({ id }) => !mine.has(id)).map((row) => viewAutomation(row)) }
}
