import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { actionUses } from '#lib/flow/index.ts'
import type { ActionBreak, BrokenAction } from '#modules/registry/index.ts'
import { findUsers, literally } from './users.ts'

/** The flows that name these actions and are broken by what has become of them, in their draft or as published. */
export async function findActionUsage(
  db: Kysely<DB>,
  tenantId: string,
  broken: readonly BrokenAction[],
): Promise<ActionBreak[]> {
  const patterns = broken.map(({ actionType }) => `"${literally(actionType)}"`)
  const used = await findUsers(db, tenantId, patterns, (definitions) => {
    const uses = definitions.flatMap(({ value }) => actionUses(value))
    const breaks = broken.flatMap((action) => {
      const missing = missingIn(uses, action)
      return missing === null ? [] : [{ action, missing }]
    })
    return breaks.length === 0 ? null : breaks
  })
  return broken.flatMap((action) => {
    const missing = new Set<string>()
    const flows = used.flatMap(({ flow, use: breaks }) => {
      const own = breaks.find((each) => each.action === action)
      for (const field of own?.missing ?? []) missing.add(field)
      return own === undefined ? [] : [flow]
    })
    if (flows.length === 0) return []
    const missing_fields = action.needs.filter((field) => missing.has(field))
    return [{ action_type: action.actionType, missing_fields, flows }]
  })
}

/** The fields that these uses of the action leave out, none where it is gone; null: they are not broken. */
function missingIn(
  uses: ReturnType<typeof actionUses>,
  { actionType, pluginRefs, needs }: BrokenAction,
): string[] | null {
  const own = uses.filter((use) => use.actionType === actionType && pluginRefs.includes(use.pluginRef))
  if (needs.length === 0) return own.length === 0 ? null : []
  const missing = needs.filter((field) =>
    own.some(({ fields }) => fields !== null && !fields.includes(field)),
  )
  return missing.length === 0 ? null : missing
}
