import { collectSteps } from './read/drafts.ts'
import { messageAction } from './read/message-send.ts'
import { ProblemList } from './problems.ts'
import { readSource } from './read/source.ts'

export interface ActionReference {
  actionType: string
  /** As written; null: whose the action's name is. */
  pluginRef: string | null
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
