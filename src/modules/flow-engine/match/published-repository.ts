import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { typesThat } from '#lib/flow/steps/index.ts'
import { HARMLESS_ACTIONS } from '../start/repeats.ts'

/** The members of a flow that decide whether and how it starts. Its steps are what is large, and are read by who runs them. */
export const ENTRY_MEMBERS = [
  'schema_version',
  'triggers',
  'start',
  'variables',
  'shop_variables',
  'settings',
] as const

export interface PublishedRow {
  id: string
  version: number
  name: string
  status: string
  /** JSON of the flow's entry. */
  entry: string
  may_cause: boolean
}

export async function selectPublished(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<PublishedRow[]> {
  const members = sql.join(
    ENTRY_MEMBERS.map((member) => sql`${sql.lit(member)}, v.flow -> ${sql.lit(member)}`),
  )
  const { rows } = await sql<PublishedRow>`
    select f.id, f.published_version as version, f.name, f.status, json_build_object(${members})::text as entry,
      ${mayCauseEvents()} as may_cause
    from automation_flows f
    join automation_flow_versions v
      on v.tenant_id = f.tenant_id and v.flow_id = f.id and v.version = f.published_version
    where f.tenant_id = ${tenantId} and f.status <> 'draft' and f.deleted_at is null
    order by f.id`.execute(db)
  return rows
}

/** Tells a version that may cause the events that start it, by its steps' types: who only tells people does not. */
function mayCauseEvents(): RawBuilder<boolean> {
  const causing = typesThat(({ causes }) => causes === 'anything')
  const byAction = typesThat(({ causes }) => causes === 'by_action')
  return sql<boolean>`exists (
    select from json_each(v.flow -> 'steps') as step
    where step.value ->> 'type' = any(${causing}::text[])
      or (step.value ->> 'type' = any(${byAction}::text[]) and (
      step.value -> 'config' ->> 'plugin_id' is distinct from 'platform'
      or step.value -> 'config' ->> 'action_type' <> all(${[...HARMLESS_ACTIONS]}::text[]))))`
}
