import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Whose } from './shop-repository.ts'
import { short } from './statement-repository.ts'

/** Of a message whose execution is gone: of no flow. */
const NO_FLOW = '00000000-0000-0000-0000-000000000000'

/**
 * Fills in the flow of messages from before there was a column for it, and of those that a process of a release before
 * that has written since. @returns how many
 */
export async function fillFlows(db: Kysely<DB>, whose: Whose, limit: number): Promise<number> {
  return short(
    db,
    sql`
      with unfilled as materialized (
        select m.tenant_id, m.id, coalesce(e.flow_id, ${NO_FLOW}) as flow_id
        from (
          select tenant_id, id, execution_id from automation_messages
          where flow_id is null and ${whose(sql`tenant_id`)} limit ${limit}
        ) m
        left join automation_executions e on e.tenant_id = m.tenant_id and e.id = m.execution_id
      )
      update automation_messages m set flow_id = unfilled.flow_id from unfilled
      where m.tenant_id = unfilled.tenant_id and m.id = unfilled.id and m.flow_id is null`,
  )
}
