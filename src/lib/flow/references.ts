import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { collectSteps } from './read/drafts.ts'
import { messageAction } from './read/message-send.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './read/source.ts'
import { INPUT_NAMES } from './read/steps/action.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: whoever alone has the action. */
  pluginRef: string | null
}

/** An action as one step names it. */
export interface ActionUse extends ActionReference {
  /** Fields that the step gives it; null: the step's own parts go where they fit. */
  fields: readonly string[] | null
}

/** Every step's use of an action. Wrong parts are skipped. */
export function actionUses(definition: unknown): ActionUse[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  return (source ? collectSteps(source, problems) : []).flatMap(({ members }) => {
    const { actionType, pluginRef } = namedAction(members) ?? {}
    if (typeof actionType !== 'string' || (pluginRef !== null && typeof pluginRef !== 'string')) return []
    return [{ actionType, pluginRef, fields: fieldsOf(members) }]
  })
}

function fieldsOf(members: Record<string, unknown>): readonly string[] | null {
  if (members['type'] === 'message') return null
  const input = INPUT_NAMES.map((name) => members[name]).find(
    (given) => given !== undefined && given !== null,
  )
  return isPlainObject(input) ? Object.keys(input) : []
}

/**
 * The actions that a definition names, each once: what a caller has to look up before `compileFlow` asks its
 * catalogue for them. Wrong parts are skipped; compiling reports them.
 */
export function actionReferences(definition: unknown): ActionReference[] {
  const problems = new ProblemList(definition)
  const source = readSource(definition, problems)
  const references = new Map<string, ActionReference>()
  for (const { members } of source ? collectSteps(source, problems) : []) {
    const { actionType, pluginRef } = namedAction(members) ?? {}
    if (typeof actionType !== 'string' || (pluginRef !== null && typeof pluginRef !== 'string')) continue
    references.set(JSON.stringify([actionType, pluginRef]), { actionType, pluginRef })
  }
  return [...references.values()]
}

function namedAction(members: Record<string, unknown>): { actionType: unknown; pluginRef: unknown } | null {
  if (members['type'] === 'message') return messageAction(members)
  if (members['type'] !== 'action') return null
  return {
    actionType: members['action_type'] ?? members['action_id'],
    pluginRef: members['plugin_id'] ?? null,
  }
}
