import { type Kysely, sql } from 'kysely'
import type { DB, FlowStatus } from '#db/schema.ts'
import type { AutomationTrigger, AutomationType } from './fields.ts'
import type { StoredAutomation } from './stored.ts'

/** The flow of an automation, as far as its face needs it. */
export interface AutomationRow {
  id: string
  name: string
  status: FlowStatus
  status_reason: string | null
  automation: StoredAutomation
  /** Of the draft as it stands now. */
  definition_sha256: string
  revision: number
  times_triggered: number
  last_triggered_at: Date | null
  created_at: Date
  updated_at: Date
}

export interface AutomationFilter {
  type: AutomationType | null
  trigger: AutomationTrigger | null
  enabled: boolean | null
  /** Older than this one. */
  before: string | null
  limit: number
}

export async function findAutomation(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
): Promise<AutomationRow | undefined> {
  const row = await automations(db, tenantId).where('id', '=', id).executeTakeFirst()
  return row as AutomationRow | undefined
}

/** Newest first. */
export async function selectAutomations(
  db: Kysely<DB>,
  tenantId: string,
  { type, trigger, enabled, before, limit }: AutomationFilter,
): Promise<AutomationRow[]> {
  let query = automations(db, tenantId)
  if (type !== null) query = query.where(sql`automation->>'type'`, '=', type)
  if (trigger !== null) query = query.where(sql`automation->>'trigger'`, '=', trigger)
  if (enabled !== null) query = query.where('status', enabled ? '=' : '<>', 'active')
  if (before !== null) query = query.where('id', '<', before)
  return (await query.orderBy('id', 'desc').limit(limit).execute()) as unknown as AutomationRow[]
}

/** Those that the service ships, by which of them they are. */
export async function selectPresets(db: Kysely<DB>, tenantId: string): Promise<AutomationRow[]> {
  const rows = await automations(db, tenantId)
    .where(sql`automation->>'preset'`, 'is not', null)
    .execute()
  return rows as unknown as AutomationRow[]
}

function automations(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('automation_flows')
    .select([
      'id',
      'name',
      'status',
      'status_reason',
      'automation',
      sql<string>`encode(sha256(convert_to(definition, 'UTF8')), 'hex')`.as('definition_sha256'),
      'revision',
      'times_triggered',
      'last_triggered_at',
      'created_at',
      'updated_at',
    ])
    .where('tenant_id', '=', tenantId)
    .where('automation', 'is not', null)
    .where('deleted_at', 'is', null)
}
