import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import { actionUses } from '#lib/flow/index.ts'
import type { ActionBreak, BrokenAction } from '#modules/registry/index.ts'
import { selectNaming } from './repository.ts'

/** Flows of one answer at most: who takes away an action of more than that knows enough. */
const FLOWS_MAX = 200

/** The flows that name these actions and are broken by what has become of them, in their draft or as published. */
export async function findActionUsage(
  db: Kysely<DB>,
  tenantId: string,
  broken: readonly BrokenAction[],
): Promise<ActionBreak[]> {
  const flows = await selectNaming(
    db,
    tenantId,
    broken.map(({ actionType }) => `"${actionType}"`),
    FLOWS_MAX,
  )
  const used = flows.map(({ id, name, status, definition, published }) => ({
    flow: { id, name, status },
    uses: [definition, published].flatMap((text) => (text === null ? [] : actionUses(readJson(text)))),
  }))
  return broken.flatMap(({ actionType, pluginRefs, needs }) => {
    const missing = new Set<string>()
    const users = used.filter(({ uses }) => {
      const own = uses.filter((use) => use.actionType === actionType && pluginRefs.includes(use.pluginRef))
      if (needs.length === 0) return own.length > 0
      const lacking = own.flatMap(({ fields }) =>
        fields === null ? [] : needs.filter((field) => !fields.includes(field)),
      )
      for (const field of lacking) missing.add(field)
      return lacking.length > 0
    })
    if (users.length === 0) return []
    const missing_fields = needs.filter((field) => missing.has(field))
    return [{ action_type: actionType, missing_fields, flows: users.map(({ flow }) => flow) }]
  })
}
