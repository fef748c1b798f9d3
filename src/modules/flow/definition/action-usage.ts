import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { actionReferences } from '#lib/flow/index.ts'
import type { ActionBreak, GoneAction } from '#modules/registry/index.ts'
import { selectNaming } from './repository.ts'

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
    FLOWS_MAX,
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
