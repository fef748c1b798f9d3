import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { actionReferences } from '#lib/flow/index.ts'
import type { ActionBreak, GoneAction } from '#modules/registry/index.ts'

/** Flows of one answer at most: who removes an action of more than that knows enough. */
const FLOWS_MAX = 200

/** The flows that name these actions, in their draft or in what is published. */
export async function findActionUsage(
  db: Kysely<DB>,
  tenantId: string,
  gone: readonly GoneAction[],
): Promise<ActionBreak[]> {
  const flows = await selectNaming(
    db,
    tenantId,
    gone.map(({ actionType }) => actionType),
  )
  const used = flows.map(({ id, name, status, definition, published }) => ({
    flow: { id, name, status },
    references: [definition, published].flatMap((text) =>
      text === null ? [] : actionReferences(readJson(text)),
    ),
  }))
  return gone.flatMap(({ actionType, pluginRefs }) => {
    const users = used.filter(({ references }) =>
      references.some((each) => each.actionType === actionType && pluginRefs.includes(each.pluginRef)),
    )
    return users.length === 0 ? [] : [{ action_type: actionType, flows: users.map(({ flow }) => flow) }]
  })
}

/** By the text of their definitions: what it means is read from those few that have the name in them. */
async function selectNaming(db: Kysely<DB>, tenantId: string, actionTypes: readonly string[]) {
  return db
    .selectFrom('automation_flows as f')
    .leftJoin('automation_flow_versions as v', (join) =>
      join
        .onRef('v.tenant_id', '=', 'f.tenant_id')
        .onRef('v.flow_id', '=', 'f.id')
        .onRef('v.version', '=', 'f.published_version'),
    )
    .select(['f.id', 'f.name', 'f.status', 'f.definition', 'v.definition as published'])
    .where('f.tenant_id', '=', tenantId)
    .where('f.deleted_at', 'is', null)
    .where(
      sql<boolean>`exists (
        select from unnest(${actionTypes}::text[]) as named (type)
        where position('"' || named.type || '"' in f.definition || coalesce(v.definition, '')) > 0)`,
    )
    .orderBy('f.id')
    .limit(FLOWS_MAX)
    .execute()
}
